"""How much of the differences each component explains, around their mean and around zero."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from figures.alignment_steering.notes import failed_notes
from figures.marks import numbers
from figures.refusal.panels import Panels, panels, title_lines
from figures.rows import select, values_of
from figures.style import BLUE, VERMILLION, Look, finish

KINDS = {
    "uncentred": Look("around zero (uncentred)", VERMILLION),
    "centred": Look("around the mean (centred, as published)", BLUE, "dash", "square"),
}


def variance(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a pair; mean over layers, with the range over layers as a band."""
    table = tables["variance"]
    names = values_of(table, "model")
    place = panels([str(name) for name in names], 2, 190)
    for k, name in enumerate(names):
        for kind, look in KINDS.items():
            _line(place, k, select(table, model=name), kind, look)
        row, col = place.at[k]
        place.figure.update_xaxes(title_text="component", dtick=2, row=row, col=col)
        place.figure.update_yaxes(range=[-3, 103], title_text="% of energy", row=row, col=col)
    spans = {kind: _span(table, names, kind) for kind in KINDS}
    title = (
        f"One component holds {spans['uncentred']} % of the energy of the differences; around "
        f"their mean {spans['centred']} %"
    )
    caption = (
        "Shares of S² by component, mean over layers (band: lowest and highest layer). Around "
        "zero, a shift that all texts share is the first component. Around the mean, which is what "
        "was published and what the svd vector is taken from, that shift has been removed."
    )
    return finish(
        place.figure, title, caption, failed_notes(tables), room=title_lines(place.figure)
    )


def _span(table: pd.DataFrame, names: Sequence[object], kind: str) -> str:
    """Lowest to highest pair: the first component's share in per cent, mean over layers."""
    first = [
        100 * float(select(table, component=0, model=name)[kind].to_numpy(float).mean())
        for name in names
    ]
    low, high = f"{min(first):.0f}", f"{max(first):.0f}"
    return low if low == high else f"{low} to {high}"


def _line(place: Panels, k: int, rows: pd.DataFrame, kind: str, look: Look) -> None:
    row, col = place.at[k]
    x = [int(k) for k in values_of(rows, "component")]
    shares = [100 * select(rows, component=k)[kind].to_numpy(float) for k in x]
    low, middle, high = (numbers(f(s) for s in shares) for f in (np.min, np.mean, np.max))
    place.figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*low, *reversed(high)],
        mode="lines",
        fill="toself",
        fillcolor=look.faint(),
        line_width=0,
        hoverinfo="skip",
        showlegend=False,
        row=row,
        col=col,
    )
    place.figure.add_scatter(
        x=x,
        y=middle,
        mode="lines+markers",
        name=look.label,
        showlegend=k == 0,
        line={"color": look.colour, "dash": look.dash},
        marker={"symbol": look.symbol, "size": 5, "color": look.colour},
        row=row,
        col=col,
    )

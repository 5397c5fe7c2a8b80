"""Whether DIM and COSMIC point the same way, by depth."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.looks import looks
from figures.marks import level_line, numbers
from figures.refusal.looks import failed_notes
from figures.rows import records, select, values_of, where
from figures.style import Look, decimal, finish, grid, nothing, number, plain
from figures.words import Cell


def cosines(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One line a model."""
    table = tables["cosines"]
    known = where(table, table["cosine"].astype(float).notna())
    if known.empty:
        return nothing("No figure “cosines”", "no cosine is defined")
    figure, every = grid(height=460), looks({"cosines": table})
    for level in (0, 1):
        level_line(figure, level)
    for model in values_of(table, "model"):
        _line(figure, select(table, model=model).sort_values("state"), every[str(model)])
    low = min(0.0, *known["cosine"].astype(float).tolist())
    figure.update_xaxes(title_text="depth of the state, % of all layers", range=[-2, 102])
    figure.update_yaxes(title_text="cosine of DIM and COSMIC", range=[low - 0.05, 1.05])
    figure.update_layout(showlegend=True)
    return finish(figure, _title(known), _CAPTION, [*failed_notes(tables), *_undefined(table)])


def _line(figure: go.Figure, rows: pd.DataFrame, look: Look) -> None:
    figure.add_scatter(
        x=numbers(rows["depth_percent"]),
        y=numbers(rows["cosine"]),
        mode="lines+markers",
        name=look.label,
        line={"color": look.colour, "dash": look.dash, "width": look.width},
        marker={"symbol": look.symbol, "size": 7, "color": look.colour},
        hovertext=[_hover(row) for row in records(rows)],
        hoverinfo="text",
    )


def _hover(row: Cell) -> str:
    return (
        f"<b>{plain(row['model'])}</b><br>state {row['state']:.0f} "
        f"({row['depth_percent']:.0f} %)<br>cosine {number(row['cosine'])}"
    )


def _undefined(table: pd.DataFrame) -> list[str]:
    lost = where(table, table["cosine"].astype(float).isna())
    if lost.empty:
        return []
    states = sorted({int(state) for state in lost["state"].tolist()})
    names = ", ".join(plain(name) for name in values_of(lost, "model"))
    which = ", ".join(map(str, states))
    return [f"undefined where a difference has no length (state {which}): {names}"]


def _title(known: pd.DataFrame) -> str:
    low, middle, high = np.quantile(known["cosine"].to_numpy(float), [0, 0.5, 1]).tolist()
    ways = ((0.95, "point nearly the same way"), (0.5, "agree in part"), (-1, "hardly agree"))
    lead = "DIM and COSMIC " + next(words for least, words in ways if middle >= least)
    n = len(values_of(known, "model"))
    ends = f"{decimal(low, 2)} to {decimal(high, 2)}, median {decimal(middle, 2)}"
    return f"{lead}: cosines {ends} ({n} models)"


_CAPTION = (
    "Cosine of the two differences of means (harmful minus harmless prompts) at the last token, "
    "state by state of the residual stream; state 0 enters the first block. Both come from prompts "
    "of the same bank and partly from the same ones, so some agreement is built in. No intervals. "
    "Directions at random would have cosines near 0 (about ±1/√d), but the mean of few prompts is "
    "noisy: a low cosine can be noise of either. At the depth and position that each method "
    "chooses for itself, the two can differ more."
)

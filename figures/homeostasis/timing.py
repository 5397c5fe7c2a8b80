"""At which layer half of the patch's change is gone."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from figures.homeostasis.looks import look
from figures.rows import n_range, records, select, values_of, without
from figures.style import SMALL, finish, grid, number, plain
from figures.words import Cell, missing_notes

_NONE = "none"
_COLUMNS = (
    "condition",
    "first_layer",
    "probability",
    "observed",
    "threshold",
    "n",
    "status",
    "reason",
)


def timing(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Where recovery first reaches the threshold, as a distribution over resampled pairs."""
    table = tables["timing"].reindex(columns=_COLUMNS)  # no estimate, no columns for one
    conditions = values_of(table, "condition")
    known = select(table, status="ok")
    known = known.assign(first_layer=[_layer_name(x) for x in known["first_layer"]])
    figure = grid(height=160 + 27 * len(conditions))
    outcomes = _outcomes(records(known))
    for outcome, colour in zip(outcomes, _shades(outcomes), strict=True):
        _segments(figure, records(select(known, first_layer=outcome)), outcome, colour)
    for condition in conditions:
        if condition not in values_of(known, "condition"):
            figure.add_annotation(
                text="missing (see below)", x=0.01, y=condition, xanchor="left", showarrow=False
            )
    figure.update_yaxes(
        type="category",
        tickvals=conditions,
        ticktext=[look(condition).label for condition in conditions],
        categoryorder="array",
        categoryarray=conditions[::-1],
        range=[-0.6, len(conditions) - 0.4],
        showgrid=False,
    )
    figure.update_xaxes(title_text="share of resamples", range=[0, 1], tickformat=".0%")
    figure.update_layout(
        barmode="stack", bargap=0.25, legend={"title_text": "first layer", "traceorder": "normal"}
    )
    share = _share(known)
    caption = (
        f"First layer behind the patch at which {share} of the change of log R_V is gone, in each "
        f"bootstrap resample of the pairs (n = {n_range(table)}); ◆ marks the "
        "answer of the pairs as measured, “none” means at no later layer, and layers that are "
        "never first are not listed. No interval: the bar is the whole distribution. It is over "
        "pairs of texts in this one model, not over models."
    )
    absent = without(table, "status", "ok").assign(
        estimate=float("nan"), low=float("nan"), high=float("nan")
    )
    return finish(figure, _title(known, share), caption, missing_notes(absent, "timing"))


def _segments(figure: go.Figure, cells: Sequence[Cell], outcome: str, colour: str) -> None:
    figure.add_bar(
        x=[float(cell["probability"]) for cell in cells],
        y=[cell["condition"] for cell in cells],
        orientation="h",
        name=outcome,
        text=[_label(cell, outcome) for cell in cells],
        textposition="inside",
        textangle=0,
        insidetextanchor="middle",
        insidetextfont={"size": SMALL},
        constraintext="none",
        marker={
            "color": colour,
            "line": {"color": "white", "width": 1},
            "pattern": {"shape": "/" if outcome == _NONE else "", "fgcolor": "#CFCFCF"},
        },
        hovertext=[
            f"<b>{look(cell['condition']).label}</b><br>first layer: {plain(outcome)}<br>"
            f"{100 * cell['probability']:.1f} % of resamples"
            + (", and in the pairs as measured" if _true(cell["observed"]) else "")
            for cell in cells
        ],
        hoverinfo="text",
    )


def _label(cell: Cell, outcome: str) -> str:
    """A segment too thin for its name has only the mark of the observed answer."""
    mark = "◆" if _true(cell["observed"]) else ""
    return f"{mark} {plain(outcome)}".strip() if cell["probability"] >= 0.07 else mark


def _title(known: pd.DataFrame, share: str) -> str:
    patched = records(select(known, condition="patched"))
    if not patched:
        return f"First layer at which {share} of the change of R_V is gone"
    best = max(patched, key=lambda cell: float(cell["probability"]))
    where = "at no layer" if best["first_layer"] == _NONE else f"at layer {best['first_layer']}"
    return (
        f"At least {share} of the patch's change of R_V is gone first {where}, in "
        f"{100 * float(best['probability']):.0f} % of resamples"
    )


def _share(known: pd.DataFrame) -> str:
    share = float(known["threshold"].iloc[0]) if len(known) else 0.5
    return "half" if share == 0.5 else f"{number(100 * share)} %"


def _layer_name(value: object) -> str:
    """A layer read from a CSV may be 28, 28.0, "28" or "none"."""
    try:
        return str(int(float(str(value))))
    except ValueError:
        return str(value)


def _outcomes(cells: Sequence[Cell]) -> list[str]:
    """Layers that are first in some resample, and "none" even where it never is the answer."""
    layers = {cell["first_layer"] for cell in cells if cell["probability"] > 0} - {_NONE}
    none = any(cell["first_layer"] == _NONE for cell in cells)
    return sorted(layers, key=int) + [_NONE] * none


def _shades(outcomes: Sequence[str]) -> list[str]:
    """Early layers light, late ones dark; "none" is white with a hatch."""
    n = sum(name != _NONE for name in outcomes)
    points = [0.25 + 0.5 * i / max(n - 1, 1) for i in range(n)]
    shades = [str(colour) for colour in sample_colorscale("Blues", points)] if n else []
    return shades + ["#FFFFFF"] * (n < len(outcomes))


def _true(flag: object) -> bool:
    return str(flag) == "True"

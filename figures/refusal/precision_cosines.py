"""Whether the direction of quantised weights is that of full precision."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.dots import upright
from figures.refusal.lines import Lines, lines, marks, name_ticks, write
from figures.refusal.looks import failed, failed_notes
from figures.refusal.precision import FULL, unmeasured
from figures.rows import records, select, values_of, where
from figures.style import BLUE, GREY, Look, decimal, finish, nothing, plain
from figures.words import Cell

PRESERVED = 0.9
"""The plan's cosine above which a direction counts as preserved."""
_LOOKS = {
    True: Look("with full precision", BLUE),
    False: Look("between two quantised", GREY, symbol="diamond"),
}


def precision_cosines(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One line a model and pair of precisions: a stem from 1, as long as what is lost."""
    table = tables["precision_cosines"]
    table = table.assign(pair=[_pair(row) for row in records(table)])
    known = where(table, table["cosine"].astype(float).notna())
    if known.empty:
        return nothing("No figure “precision_cosines”", "no cosine is defined")
    models = list(map(str, values_of(table, "model")))
    place = lines(models, values_of(table, "pair"), failed(tables))
    name_ticks(place)
    upright(place.figure, PRESERVED, dash="dash")
    for full, look in _LOOKS.items():
        rows = where(known, [_with_full(row) == full for row in records(known)])
        if len(rows):
            _stems(place, rows, look)
            hover = [_hover(row) for row in records(rows)]
            marks(place, rows["cosine"], place.of(rows, "pair"), look, hover)
    _values(place, known)
    low = min(0.8, *known["cosine"].astype(float).tolist())
    words = "cosine of the directions (dashed: the plan's 0.90)"
    place.figure.update_xaxes(range=[low - 0.01, 1.004], title_text=words)
    above = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"}
    place.figure.update_layout(legend=above)
    notes = [*failed_notes(tables), *unmeasured(tables)]
    finish(place.figure, _title(known), _CAPTION, notes, room=20)
    return place.figure.update_layout(margin_r=150)


def _pair(row: Cell) -> str:
    return f"{row['first']} – {row['second']}"


def _with_full(row: Cell) -> bool:
    return FULL in (row["first"], row["second"])


def _stems(place: Lines, rows: pd.DataFrame, look: Look) -> None:
    x: list[float | None] = []
    y: list[float | None] = []
    for row, height in zip(records(rows), place.of(rows, "pair"), strict=True):
        x += [1.0, row["cosine"], None]
        y += [height, height, None]
    place.figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        name=f"{look.label}, lost",
        line={"color": look.faint(0.6), "width": 3},
        showlegend=False,
        hoverinfo="skip",
    )


def _values(place: Lines, known: pd.DataFrame) -> None:
    """The number at the right of every line, and which are too low."""
    for (model, pair), height in place.at.items():
        if rows := records(select(known, model=model, pair=pair)):
            low = rows[0]["cosine"] <= PRESERVED
            text = decimal(rows[0]["cosine"])
            write(place, height, f"<b>{text}: changed</b>" if low else text)
        elif pair:
            write(place, height, "unknown")


def _hover(row: Cell) -> str:
    return f"<b>{plain(row['model'])}</b><br>{plain(_pair(row))}: {decimal(row['cosine'])}"


def _title(known: pd.DataFrame) -> str:
    rows = where(known, [_with_full(row) for row in records(known)])
    if rows.empty:
        return "Directions at full precision are not known: only quantised ones are compared"
    kept = where(rows, rows["cosine"] > PRESERVED)
    least = min(records(rows), key=lambda row: row["cosine"])
    other = least["second"] if least["first"] == FULL else least["first"]
    return (
        f"Quantised weights keep the direction (cosine with full precision above {PRESERVED:.2f}) "
        f"in {len(kept)} of {len(rows)} cases; least {decimal(least['cosine'], 2)} "
        f"({least['model']}, {other})"
    )


_CAPTION = (
    "Cosine of the differences of means that are extracted at two precisions from the same "
    "prompts, at the same layer and position; the line is as long as what is missing to 1. Above "
    "0.90 the plan calls a direction preserved. Directions at random would have cosines near 0 "
    "(about ±1/√d). No intervals: the prompts are the same at both precisions, so their sampling "
    "cancels in part. A high cosine does not show that steering does the same: see the rates."
)

"""Coherent refusals with quantised weights, by the model's own direction and a carried one."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.marks import bars
from figures.refusal.lines import Lines, keys, lines, marks, name_ticks, write
from figures.refusal.looks import failed, failed_notes, in_percent, percent, rate
from figures.rows import absent, n_range, records, select, values_of, where, without
from figures.style import BLACK, BLUE, GREY, VERMILLION, Look, finish, number, plain
from figures.words import Cell, p_value

FULL = "none"
_LOOKS = {
    "own": Look("own direction", BLUE),
    "carried": Look("carried over", VERMILLION, symbol="square"),
}
_ASIDE = {"own": -0.16, "carried": 0.16}
_UNSTEERED = Look("unsteered", BLACK, symbol="line-ns-open")
_ALPHA = 0.05


def precision(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One line a model and precision; the rate at full precision runs through a model's lines."""
    table = tables["precision"]
    names = list(map(str, values_of(table, "quantization")))
    models = list(map(str, values_of(table, "model")))
    place = lines(models, [FULL, *(name for name in names if name != FULL)], failed(tables))
    name_ticks(place)
    for row in records(select(table, quantization=FULL, direction="own")):
        _reference(place, str(row["model"]), 100 * row["coherent"])
    for direction, look in _LOOKS.items():
        _direction(place, select(table, direction=direction), look, _ASIDE[direction])
    _beside(place, table)
    keys(place)
    place.figure.update_xaxes(range=[-1, 101], title_text="of answers to benign test requests, %")
    notes = [*failed_notes(tables), *unmeasured(tables)]
    finish(place.figure, _title(table), _caption(table), notes, room=36)
    return place.figure.update_layout(margin_r=215)


def unmeasured(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Precisions of a model that could not be measured, with the reason."""
    missing = tables.get("missing")
    if missing is None or missing.empty:
        return []
    return [
        f"not measured: {plain(row['what'])} at {plain(row['id'])}: "
        f"{'no reason was recorded' if absent(row['reason']) else plain(row['reason'])}"
        for row in records(without(missing, "what", "model"))
    ]


def _reference(place: Lines, model: str, x: float) -> None:
    ys = [y for (name, _), y in place.at.items() if name == model]
    look = {"color": GREY, "width": 1.4, "dash": "dot"}
    place.figure.add_shape(
        type="line", x0=x, x1=x, y0=ys[0], y1=ys[-1] + 0.4, line=look, layer="below"
    )


def _direction(place: Lines, rows: pd.DataFrame, look: Look, aside: float) -> None:
    if rows.empty:
        return
    cells, hover = in_percent(rows, "coherent"), [_hover(row) for row in records(rows)]
    y = place.of(rows, "quantization", aside)
    marks(place, cells["estimate"], y, look, hover, size=10, error_x=bars(cells, look.colour, 1.8))
    pale = Look(f"{look.label}, garbled", look.faint(0.6), symbol=f"{look.symbol}-open")
    y = place.of(rows, "quantization", 2 * aside)
    marks(place, rate(rows, "garbled"), y, pale, hover, size=8, showlegend=False)


def _beside(place: Lines, table: pd.DataFrame) -> None:
    """The model as it is at each precision; verdicts and p at the right."""
    plainly = select(table, direction="own")
    hover = [_hover(row) for row in records(plainly)]
    y = place.of(plainly, "quantization")
    marks(place, rate(plainly, "unsteered"), y, _UNSTEERED, hover, size=9)
    for (model, name), height in place.at.items():
        rows = records(select(table, model=model, quantization=name))
        text = "<br>".join(_words(row) for row in rows)
        write(place, height, text or "not measured" * bool(name))


def _words(row: Cell) -> str:
    lead = "" if row["quantization"] == FULL else f"{plain(row['direction'])}: "
    text = f"{lead}{plain(row['verdict'])}"
    if row["quantization"] == FULL:
        return text
    p = p_value(row["mcnemar_p"])
    return f"{text}, <b>{p}</b>" if _differs(row) else f"{text}, {p}"


def _differs(row: Cell) -> bool:
    return not absent(row["mcnemar_p"]) and row["mcnemar_p"] < _ALPHA


def _hover(row: Cell) -> str:
    lines = [
        f"<b>{plain(row['model'])}, {plain(row['quantization'])}, {plain(row['direction'])}</b>",
        f"coherent refusals {percent(row['coherent'])} [{percent(row.get('coherent_low'))}, "
        f"{percent(row.get('coherent_high'))}], garbled {percent(row['garbled'])}, "
        f"unsteered {percent(row.get('unsteered'))}",
        f"{p_value(row['mcnemar_p'])}, cosine with full precision {number(row['cosine_to_full'])}",
        f"block {number(row['layer'])}, dose {number(row['dose'])}, n = {row['n']:.0f}",
    ]
    return "<br>".join(lines)


def _title(table: pd.DataFrame) -> str:
    rows = without(table, "quantization", FULL)
    if rows.empty:
        return "No quantised weights were measured: only full precision is shown"
    parts = []
    for direction, words in (("own", "its own direction"), ("carried", "the one carried over")):
        mine = select(rows, direction=direction)
        hits = where(mine, [_differs(row) for row in records(mine)])
        parts.append(f"with {words} in {len(hits)} of {len(mine)} comparisons")
    lead = "Quantised weights change how often a model refuses coherently"
    return f"{lead} (McNemar p < {_ALPHA}) {', '.join(parts)}"


def _caption(table: pd.DataFrame) -> str:
    return (
        "Filled: coherent refusals of the same benign test requests at every precision, with 95 % "
        f"Wilson interval over unique prompts (n = {n_range(table)}). Layer, position and dose "
        "were chosen at full precision (none) on other prompts and are the same below it. Circle: "
        "with the direction that is extracted at that precision; square: with the one of full "
        "precision. Dotted: the rate at full precision, with which McNemar's exact test compares "
        "on the same prompts (p at the right, bold below 0.05, not corrected for the number of "
        "comparisons). Lighter and open: garbled answers, refusal or not. Black stroke: the model "
        "as it is at that precision. No difference seen is not sameness shown: see the intervals."
    )

"""Which method makes which model refuse, beside what directions do that mean nothing."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.dots import upright
from figures.marks import bars
from figures.refusal.controls import add_controls, matched, most, told, unknown
from figures.refusal.lines import BELOW, Lines, keys, lines, marks, write
from figures.refusal.looks import (
    BEST,
    PARTIAL,
    WORKS,
    failed,
    failed_notes,
    in_percent,
    methods,
    own_rule_notes,
    percent,
    rate,
)
from figures.rows import absent, n_range, records, select, values_of
from figures.style import Look, finish, nothing, number, plain
from figures.words import Cell


def verdicts(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Coherent refusals on test prompts, one line a model and method."""
    table = select(tables["verdicts"], choice=BEST)
    if table.empty:
        return nothing("No figure “verdicts”", "no depth was chosen on validation prompts")
    looks, lost = methods(table, "method"), failed(tables)
    place = lines(list(map(str, values_of(table, "model"))), list(looks), lost)
    for level in (PARTIAL, WORKS):
        upright(place.figure, level, dash="dash")
    for method, look in looks.items():
        _method(place, select(table, method=method), look)
    add_controls(place, table, [_hover(row) for row in records(table)])
    keys(place)
    place.figure.update_xaxes(range=[-1, 101], title_text="of answers to benign test requests, %")
    notes = [*failed_notes(tables), *own_rule_notes(tables), *unknown(table)]
    finish(place.figure, _title(table, len(lost)), _caption(table), notes, room=54)
    return place.figure.update_layout(margin_r=215)


def _method(place: Lines, rows: pd.DataFrame, look: Look) -> None:
    cells, hover = in_percent(rows, "coherent"), [_hover(row) for row in records(rows)]
    y, below = place.of(rows, "method"), place.of(rows, "method", BELOW)
    marks(place, cells["estimate"], y, look, hover, error_x=bars(cells, look.colour, 1.8))
    pale = Look(f"{look.label}, garbled", look.faint(0.6), symbol=f"{look.symbol}-open")
    marks(place, rate(rows, "garbled"), below, pale, hover, size=8, showlegend=False)
    for height, row in zip(y, records(rows), strict=True):
        sure = "" if absent(row.get("uncertain")) or not row["uncertain"] else " (uncertain)"
        verdict = f"<b>{plain(row['verdict'])}</b>{sure}"
        beside = "<br>a control refuses as much" if matched(row) else ""
        write(place, height, f"{look.label}: {verdict}<br>{_where(row)}{beside}")


def _hover(row: Cell) -> str:
    lines = [
        f"<b>{plain(row['model'])}, {plain(str(row['method']).upper())}</b>: "
        f"{plain(row['verdict'])}",
        f"coherent refusals {percent(row['coherent'])} [{percent(row.get('coherent_low'))}, "
        f"{percent(row.get('coherent_high'))}], garbled {percent(row['garbled'])}",
        told(row),
    ]
    return "<br>".join([*lines, _where(row), f"n = {row['n']:.0f}"])


def _where(row: Cell) -> str:
    if absent(row.get("layer")):
        return "place unknown"
    dose = row["dose_residual"]
    share = "" if absent(dose) else f", dose {number(dose)}"
    return f"block {row['layer']:.0f} ({row['depth_percent']:.0f} %){share}"


def _title(table: pd.DataFrame, n_lost: int) -> str:
    parts = []
    for method, look in methods(table, "method").items():
        rows = select(table, method=method)
        parts.append((look.label, len(select(rows, verdict="works")), len(rows)))
    (name, works, n), *others = parts
    text = f"{name} makes {works} of {n} models refuse at least {WORKS} % of benign requests"
    text += "".join(f", {name} {works} of {n}" for name, works, n in others)
    text += f" ({n_lost} not measured)" if n_lost else ""
    if not (random := most(table)):
        return f"{text}; no random direction was tried beside them"
    hits = records(select(table, verdict="works"))
    equalled = sum(matched(row) for row in hits)
    if not hits:
        return f"{text} ({random})"
    return f"{text}; in {equalled} of these {len(hits)} a control refuses as much ({random})"


def _caption(table: pd.DataFrame) -> str:
    return (
        "Filled: share of benign test requests that get a coherent refusal, with 95 % Wilson "
        f"interval over unique prompts (n = {n_range(table)}), not corrected for the number of "
        "models. Depth and dose (what is added, as a share of the residual stream's mean norm "
        "there) were chosen on other prompts. Lighter and open: garbled answers (broken text, "
        "refusal or not). Tall diamond: the best of the random directions that are exactly as long "
        "at the same place; cross: the best of them, and triangle: the direction from shuffled "
        "labels, each at the place and dose that are best for it on the same other prompts; "
        "lines end at the mean of the random directions (as much: any of these inside or above "
        "the interval). Black stroke: the model as it is. Dashed: from 60 % a method works, from "
        "20 % partly; with 40 % or more garbled it is a breakdown unless it works; uncertain where "
        "the interval holds a threshold. That a direction can make a model refuse does not show "
        "that the model decides by it."
    )

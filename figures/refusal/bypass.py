"""Harmful requests with refusal taken away, and what that costs on other text."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.marks import bars
from figures.refusal.lines import BELOW, Lines, keys, lines, marks, write
from figures.refusal.looks import MAX_KL, failed_notes, percent, rate
from figures.rows import absent, n_range, records, select, values_of, where
from figures.style import BLACK, BLUE, GREEN, ORANGE, Look, finish, number, plain
from figures.words import Cell
from tl_geometry.statistics import wilson

_KINDS = {
    "linear": Look("linear: removed", BLUE),
    "affine": Look("affine: moved", GREEN, symbol="square"),
    "negative": Look("negative: subtracted", ORANGE, symbol="diamond"),
}
_BEFORE = Look("as it is", BLACK, symbol="circle-open")
_HALF, _FEW = 0.5, 0.2


def bypass(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One line a model and way: refusals before (ring) and after (filled), KL at the right."""
    table = tables["bypass"]
    present = list(map(str, values_of(table, "kind")))
    kinds = [*filter(present.__contains__, _KINDS), *(k for k in present if k not in _KINDS)]
    place = lines(list(map(str, values_of(table, "model"))), kinds, {})
    for kind in kinds:
        look = _KINDS.get(kind, Look(plain(kind), BLACK, symbol="hexagon"))
        _way(place, select(table, kind=kind), look)
    hover = [_hover(row) for row in records(table)]
    marks(place, rate(table, "refusal_before"), place.of(table, "kind"), _BEFORE, hover, size=10)
    keys(place)
    place.figure.update_xaxes(range=[-1, 101], title_text="of answers to harmful test requests, %")
    notes = [*failed_notes(tables), *_untried(table, place)]
    finish(place.figure, _title(table), _caption(table), notes, room=36)
    return place.figure.update_layout(margin_r=190)


def _way(place: Lines, rows: pd.DataFrame, look: Look) -> None:
    cells, hover = _after(rows), [_hover(row) for row in records(rows)]
    y, below = place.of(rows, "kind"), place.of(rows, "kind", BELOW)
    before = rate(rows, "refusal_before").tolist()
    for height, row, start, end in zip(
        y, records(rows), before, cells["estimate"].tolist(), strict=True
    ):
        if not absent(start) and not absent(end) and abs(start - end) > 2:
            _arrow(place, height, start, end, look)
        write(place, height, f"{_cost(row)}<br>{_source(row)}")
    marks(place, cells["estimate"], y, look, hover, error_x=bars(cells, look.colour, 1.8))
    pale = Look(f"{look.label}, garbled", look.faint(0.6), symbol=f"{look.symbol}-open")
    marks(place, rate(rows, "garbled"), below, pale, hover, size=8, showlegend=False)


def _after(rows: pd.DataFrame) -> pd.DataFrame:
    """Refusals that are left, with Wilson's interval, in per cent."""
    found: list[dict[str, Any]] = []
    for row in records(rows):
        share, n = row["refusal_after"], row["n"]
        cell = {"estimate": share, "low": None, "high": None}
        if not absent(share) and not absent(n) and n >= 1:
            ends = wilson(round(share * n), int(n))
            cell |= {"low": ends.low, "high": ends.high}
        found.append(cell)
    return 100 * pd.DataFrame(found, columns=["estimate", "low", "high"]).astype(float)


def _arrow(place: Lines, y: float, start: float, end: float, look: Look) -> None:
    place.figure.add_annotation(
        x=end,
        y=y,
        ax=start,
        ay=y,
        axref="x",
        ayref="y",
        text="",
        arrowcolor=look.faint(0.6),
        arrowwidth=2.2,
        arrowhead=0,
        standoff=6,
        startstandoff=6,
    )


def _cost(row: Cell) -> str:
    """KL beside the line; what is too much stands out in weight and in words."""
    kl = row["kl"]
    if absent(kl):
        return "KL unknown"
    text = f"KL {number(kl)}"
    return text if kl < MAX_KL else f"<b>{text}: too much</b>"


def _source(row: Cell) -> str:
    return f"{plain(str(row['source']).upper())}, block {number(row['layer'])}"


def _hover(row: Cell) -> str:
    before, after = percent(row["refusal_before"]), percent(row["refusal_after"])
    lines = [
        f"<b>{plain(row['model'])}, {plain(row['kind'])}</b> ({_source(row)})",
        f"refused {before} → {after}, garbled {percent(row.get('garbled'))}",
        f"{_cost(row)} nats a token on neutral text",
        f"its loss {number(row['nll_untouched'])} → {number(row['nll'])}",
    ]
    return "<br>".join([*lines, f"n = {row['n']:.0f}"])


def _untried(table: pd.DataFrame, place: Lines) -> list[str]:
    there = set(zip(table["model"].astype(str), table["kind"].astype(str), strict=True))
    lacking = [
        f"{plain(model)}, {plain(kind)}" for model, kind in place.at if (model, kind) not in there
    ]
    return [f"not measured: {'; '.join(lacking)}"] * bool(lacking)


def _title(table: pd.DataFrame) -> str:
    able = where(table, rate(table, "refusal_before") > 0)
    n, models = len(values_of(able, "model")), len(values_of(table, "model"))
    if n == 0:
        return f"None of {models} models refuses a harmful request: there is nothing to take away"
    fewer = rate(able, "fewer_refusals") >= 100 * _HALF
    gentle = (able["kl"].astype(float) < MAX_KL) & (rate(able, "garbled") < 100 * _FEW)
    hits = where(able, fewer & gentle)
    ways = [
        f"{plain(kind)} {len(values_of(select(hits, kind=kind), 'model'))}"
        for kind in values_of(able, "kind")
    ]
    return (
        f"Refusals of harmful requests fall by half or more, at little cost to other text, in "
        f"{len(values_of(hits, 'model'))} of the {n} models that refuse any ({', '.join(ways)})"
    )


def _caption(table: pd.DataFrame) -> str:
    return (
        f"Harmful test requests (n = {n_range(table)} a model) that are refused by the model as "
        "it is (ring, by the strict rule) and with refusal taken away (filled, 95 % Wilson "
        "interval): the direction removed everywhere (linear), the stream moved along it to "
        "where harmless requests have it, at one block (affine), or the direction subtracted "
        "where it is otherwise added (negative). Direction, depth and dose of each way were "
        "chosen on other prompts. Lighter and open: answers that are garbled, which a low rate of "
        "refusals can hide. KL of the next token on neutral text, nats a token; from 0.1 on the "
        "way changes more than refusal. Little cost in the title: KL below 0.1 and less than 20 "
        "% garbled. Fewer refusals are not yet answers that help: for those, read the generated "
        "answers."
    )

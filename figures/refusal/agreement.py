"""Whether the methods agree on a model, on the same prompts."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.dots import upright
from figures.marks import bars
from figures.refusal.lines import Lines, lines, marks, write
from figures.refusal.looks import (
    BEST,
    PARTIAL,
    WORKS,
    failed_notes,
    in_percent,
    methods,
    percent,
)
from figures.rows import absent, count, records, select, values_of
from figures.style import GREY, Look, finish, number, plain
from figures.words import Cell, p_value

_ASIDE = {"first": -0.12, "second": 0.12}


def agreement(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One line a model and pair of methods: both rates with their intervals, joined."""
    table = tables["agreement"]
    table = table.assign(pair=[_pair(row) for row in records(table)])
    looks = methods(pd.DataFrame({"source": [*table["first"], *table["second"]]}))
    place = lines(list(map(str, values_of(table, "model"))), values_of(table, "pair"), {})
    for level in (PARTIAL, WORKS):
        upright(place.figure, level, dash="dash")
    for row, y in zip(records(table), place.of(table, "pair"), strict=True):
        _joined(place, row, y)
        write(place, y, _words(row, looks))
    sides = pd.concat([_side(table, side, tables.get("verdicts")) for side in _ASIDE])
    for method, look in looks.items():
        _method(place, select(sides, method=method), look)
    above = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"}
    place.figure.update_layout(legend=above)
    place.figure.update_xaxes(range=[-1, 101], title_text="of answers to benign test requests, %")
    notes = [*failed_notes(tables), *_unbounded(sides)]
    finish(place.figure, _title(table, looks), _CAPTION, notes, room=20)
    return place.figure.update_layout(margin_r=215)


def _pair(row: Cell) -> str:
    return f"{row['first']}, {row['second']}"


def _side(table: pd.DataFrame, side: str, verdicts: pd.DataFrame | None) -> pd.DataFrame:
    """Rates of the first or second methods, with the intervals that the verdicts have."""
    found: list[dict[str, Any]] = []
    for row in records(table):
        about = {"model": row["model"], "pair": row["pair"], "method": row[side]}
        ends = _ends(verdicts, row["model"], row[side])
        rate = {"coherent": row[f"coherent_{side}"], "aside": _ASIDE[side]}
        found.append({**about, **ends, **rate, "p": row["mcnemar_p"]})
    return pd.DataFrame(found)


def _ends(verdicts: pd.DataFrame | None, model: str, method: str) -> dict[str, Any]:
    names = ("coherent_low", "coherent_high", "n", "verdict")
    if verdicts is None or verdicts.empty:
        return dict.fromkeys(names)
    rows = records(select(verdicts, choice=BEST, model=model, method=method))
    return {name: rows[0].get(name) if rows else None for name in names}


def _joined(place: Lines, row: Cell, y: float) -> None:
    place.figure.add_scatter(
        x=[100 * row[f"coherent_{side}"] for side in _ASIDE],
        y=[y + aside for aside in _ASIDE.values()],
        mode="lines",
        name="both",
        line={"color": GREY, "width": 3 if row["disagree"] else 1.4},
        showlegend=False,
        hoverinfo="skip",
    )


def _method(place: Lines, rows: pd.DataFrame, look: Look) -> None:
    cells = in_percent(rows, "coherent")
    y = [at + row["aside"] for at, row in zip(place.of(rows, "pair"), records(rows), strict=True)]
    hover = [_hover(row, look) for row in records(rows)]
    marks(place, cells["estimate"], y, look, hover, error_x=bars(cells, look.colour, 1.6))


def _hover(row: Cell, look: Look) -> str:
    ends = f" [{percent(row['coherent_low'])}, {percent(row['coherent_high'])}]"
    said = "" if absent(row["verdict"]) else f": {plain(row['verdict'])}"
    n = "" if absent(row["n"]) else f"<br>n = {row['n']:.0f}"
    rate = f"coherent refusals {percent(row['coherent'])}{ends}"
    return f"<b>{plain(row['model'])}, {look.label}</b>{said}<br>{rate}{n}<br>{p_value(row['p'])}"


def _words(row: Cell, looks: Mapping[str, Look]) -> str:
    names = " − ".join(looks[str(row[side])].label for side in _ASIDE)
    lead = f"{names}: {number(100 * row['difference'])} points<br>{p_value(row['mcnemar_p'])}"
    return f"{lead}, <b>they disagree</b>" if row["disagree"] else lead


def _unbounded(sides: pd.DataFrame) -> list[str]:
    lost = [row for row in records(sides) if absent(row["coherent_low"])]
    names: Sequence[str] = [f"{plain(row['model'])} ({plain(row['method'])})" for row in lost]
    return [f"no interval: {', '.join(names)}"] * bool(names)


def _title(table: pd.DataFrame, looks: Mapping[str, Look]) -> str:
    who = " and ".join(look.label for look in looks.values())
    n = len(values_of(table, "model"))
    hits = select(table, disagree=True)
    where = f" ({', '.join(map(str, values_of(hits, 'model')))})" if len(hits) else ""
    far = count(table["mcnemar_p"] < 0.05)
    return (
        f"{who} disagree in {len(values_of(hits, 'model'))} of {n} models{where}; rates on the "
        f"same requests differ at p < 0.05 in {far} of {len(table)} comparisons"
    )


_CAPTION = (
    "Coherent refusals of the same benign test requests under each method, at the depth and dose "
    "chosen for it on other prompts, with 95 % Wilson intervals. They can overlap where a paired "
    "test sees a difference: p is of McNemar's exact test over prompts, not corrected for the "
    "number of models. The methods disagree (bold, thick line) where p < 0.05 and their verdicts "
    "differ; the plan calls that a finding of its own. Dashed: from 60 % a method works, from 20 % "
    "partly. Methods differ in place and dose as well as in direction."
)

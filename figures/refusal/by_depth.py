"""Coherent refusals and garbled answers at every tested depth."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.refusal.looks import WORKS, at_depths, chosen, depth_of, failed_notes, methods, span
from figures.refusal.panels import Panels, panels, title_lines
from figures.refusal.stacks import add_chosen, add_keys, add_stack
from figures.rows import absent, n_range, records, select, values_of, where
from figures.style import Look, finish, nothing, number

_WIDE = 0.84
"""Of the room between two depths, what bars take."""


def by_depth(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a model; at each depth one stack a method."""
    table = _one_dose(at_depths(tables["conditions"], "test"), tables["conditions"])
    if table.empty:
        return nothing("No figure “by_depth”", "no depth was tested on test prompts")
    looks, models = methods(table), values_of(table, "model")
    place = panels(models, 3, 210, gap=88)
    for k, model in enumerate(models):
        _panel(place, k, select(table, model=model), looks, tables.get("verdicts"))
    figure = place.figure
    figure.update_yaxes(range=[0, 114], tickvals=[0, 20, 60, 100])
    last = {col: row for row, col in place.at}
    for row, col in place.at:
        if col == 1:
            figure.update_yaxes(title_text="of answers, %", row=row, col=col)
        if row == last[col]:
            figure.update_xaxes(title_text="depth, % (below: its block)", row=row, col=col)
    add_keys(figure, looks)
    figure.update_layout(barmode="overlay")
    notes = failed_notes(tables)
    return finish(figure, _title(table, looks), _caption(table), notes, room=title_lines(figure))


def _one_dose(tested: pd.DataFrame, conditions: pd.DataFrame) -> pd.DataFrame:
    """Where a later round of the search tested a depth again, the dose that it prefers."""
    rate = {_cell(row): row["coherent"] for row in records(select(conditions, phase="search"))}
    order = [(-rate.get(_cell(row), -1), row["dose"]) for row in records(tested)]
    ordered = tested.assign(order=order).sort_values("order", kind="stable")
    one = ordered.drop_duplicates(["model", "source", "share"]).drop(columns="order")
    return tested.loc[tested.index.isin(one.index)]


def _cell(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["model"], row["source"], depth_of(row["depth"]), row["dose"]


def _panel(
    place: Panels,
    k: int,
    table: pd.DataFrame,
    looks: Mapping[str, Look],
    verdicts: pd.DataFrame | None,
) -> None:
    """Its own depths, from shallow to deep: models need not share them."""
    shares = sorted(values_of(table, "share"))
    for m, (method, look) in enumerate(looks.items()):
        rows = select(table, source=method)
        if len(rows):
            x = [shares.index(share) + _aside(m, len(looks)) for share in rows["share"].tolist()]
            at = chosen(rows, verdicts)["share"].tolist()
            add_chosen(place, k, [x[rows["share"].tolist().index(share)] for share in at], look)
            add_stack(place, k, rows, x, 0.94 * _WIDE / len(looks), look)
    row, col = place.at[k]
    place.figure.update_xaxes(
        tickvals=list(range(len(shares))),
        ticktext=[_tick(select(table, share=share)) for share in shares],
        range=[-0.6, len(shares) - 0.4],
        tickangle=0,
        showgrid=False,
        row=row,
        col=col,
    )


def _aside(m: int, n: int) -> float:
    """How far the bars of method m of n stand from the middle."""
    return (m - (n - 1) / 2) * _WIDE / n


def _tick(rows: pd.DataFrame) -> str:
    cell = records(rows)[0]
    block = "" if absent(cell["layer"]) else f"<br>{cell['layer']:.0f}"
    return f"{number(100 * cell['share'])}{block}"


def _title(table: pd.DataFrame, looks: Mapping[str, Look]) -> str:
    n = len(values_of(table, "model"))
    found = []
    for method, look in looks.items():
        rows = select(table, source=method)
        hits = where(rows, rows["coherent"] >= WORKS / 100)
        shares = sorted(values_of(hits, "share"))
        at = f" ({span(shares)} of the depth)" if shares else ""
        found.append(f"{look.label} in {len(values_of(hits, 'model'))} of {n} models{at}")
    lead = f"At one tested depth or more, {WORKS} % of requests are refused coherently"
    return f"{lead}: {', '.join(found)}"


def _caption(table: pd.DataFrame) -> str:
    return (
        "Answers to benign test requests with the direction added from this depth on: coherent "
        "refusals (full colour, 95 % Wilson interval over unique prompts, n = "
        f"{n_range(table)}), garbled answers, refusals or not (hatched); the rest is normal. At "
        "each depth the dose is the one with the most coherent refusals on other prompts, so "
        "doses differ from bar to bar. Triangle: the depth chosen on those other prompts. The "
        "best of several depths is high by selection: the figure of verdicts shows the chosen "
        "one only."
    )

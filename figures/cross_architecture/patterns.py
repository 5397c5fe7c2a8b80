"""The gap by kinds of architecture: lists, not tests."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.dots import upright
from figures.cross_architecture.looks import looks
from figures.marks import padded_range
from figures.rows import absent, records, select, values_of
from figures.style import BLACK, GREY, SMALL, finish, grid, number, plain

_FACTS = {
    "attention": "attention",
    "blocks": "blocks",
    "norm": "norm",
    "sliding_window": "sliding window",
    "experts": "experts",
    "tokenizer": "tokenizer",
}


def patterns(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """A row a kind: the mean and range of g, and each model in it where the comparison is there."""
    table = tables["patterns"]
    rows = records(table)
    figure = grid(height=130 + 34 * len(rows))
    upright(figure, 0)
    for place, row in enumerate(rows):
        if place and row["fact"] != rows[place - 1]["fact"]:
            figure.add_hline(y=place - 0.5, line={"color": GREY, "width": 1})
        _range(figure, row, place)
        _counted(figure, row, place)
    _models(figure, tables, rows)
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[f"{_FACTS.get(r['fact'], plain(r['fact']))}: {plain(r['kind'])}" for r in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
    )
    ends = table.rename(columns={"g_mean": "estimate", "g_lowest": "low", "g_highest": "high"})
    figure.update_xaxes(
        range=padded_range(ends, 0),
        title_text="Hedges g of log R_V at the own critical layer",
    )
    sizes = sorted(int(n) for n in values_of(table, "models"))
    caption = (
        "Lists, not tests: mean (stroke) and range (line) of g over the models of each kind, with "
        f"the number of models ({_span(sizes)} a kind). There is no interval and nothing is "
        "corrected, for models differ in all of these at once, and one or two of a kind decide "
        "nothing. Median depth of the critical layer: on pointing at a stroke."
    )
    notes = [
        f"no g: {plain(row['fact'])}: {plain(row['kind'])} ({plain(row['names'])})"
        for row in rows
        if absent(row["g_mean"])
    ]
    finish(figure, _title(table), caption, notes)
    return figure.update_layout(margin_r=240)


def _range(figure: go.Figure, row: Mapping[str, Any], place: int) -> None:
    figure.add_scatter(
        x=[None if absent(row[f"g_{end}"]) else row[f"g_{end}"] for end in ("lowest", "highest")],
        y=[place, place],
        mode="lines",
        name="lowest to highest",
        legendgroup="range",
        showlegend=place == 0,
        line={"color": GREY, "width": 3},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[None if absent(row["g_mean"]) else row["g_mean"]],
        y=[place],
        mode="markers",
        name="mean",
        legendgroup="mean",
        showlegend=place == 0,
        marker={"symbol": "line-ns", "size": 18, "line": {"color": BLACK, "width": 2.6}},
        hovertext=[_hover(row)],
        hoverinfo="text",
    )


def _models(
    figure: go.Figure, tables: Mapping[str, pd.DataFrame], rows: list[dict[str, Any]]
) -> None:
    """Each model in every row that it belongs to."""
    comparison = tables.get("comparison")
    if comparison is None or comparison.empty:
        return
    facts = [row["fact"] for row in rows]
    for name, look in looks(tables).items():
        for model in records(select(comparison, model=name, status="ok")):
            places = [
                k
                for k, fact in enumerate(facts)
                if fact in model and str(model[fact]) == str(rows[k]["kind"])
            ]
            figure.add_scatter(
                x=[None if absent(model["g"]) else model["g"]] * len(places),
                y=places,
                mode="markers",
                name=look.label,
                marker={"symbol": look.symbol, "size": 8, "color": look.colour},
                hovertext=[f"<b>{look.label}</b><br>g = {number(model['g'])}"] * len(places),
                hoverinfo="text",
            )


def _counted(figure: go.Figure, row: Mapping[str, Any], place: int) -> None:
    figure.add_annotation(
        text=f"{row['models']:.0f} model{'s' * (row['models'] != 1)}",
        x=1.01,
        xref="paper",
        y=place,
        xanchor="left",
        showarrow=False,
        font_size=SMALL,
    )
    figure.update_layout(legend={"x": 1.14})


def _hover(row: Mapping[str, Any]) -> str:
    return (
        f"<b>{plain(row['fact'])}: {plain(row['kind'])}</b><br>{plain(row['names'])}<br>mean g "
        f"{number(row['g_mean'])}, {number(row['g_lowest'])} to {number(row['g_highest'])}<br>"
        f"median depth {number(row['depth_percent_median'])} %"
    )


def _span(sizes: list[int]) -> str:
    return str(sizes[0]) if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"


def _title(table: pd.DataFrame) -> str:
    alone = len(select(table, models=1))
    return (
        f"Gap by kind of architecture, as a list: {alone} of {len(table)} kinds are one model "
        "only, so no pattern can be told from the models themselves"
        if alone
        else f"Gap by kind of architecture, as a list of {len(table)} kinds: kinds go together in "
        "models, so no pattern is the effect of one of them"
    )

"""The lines of the search: one condition over doses, random directions behind, and their keys."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from figures.marks import numbers
from figures.refusal.looks import percent, rate
from figures.refusal.panels import Panels
from figures.rows import records, where
from figures.style import BLACK, GREY, Look, number, plain
from figures.words import Cell

PALE = "#BBBBBB"


def add_random(place: Panels, k: int, table: pd.DataFrame) -> None:
    """All random directions at all depths, as one trace with gaps."""
    rows = where(table, [str(source).startswith("random") for source in table["source"]])
    x: list[float | None] = []
    y: list[float | None] = []
    for _, line in rows.groupby(["source", "depth"], sort=False):
        line = line.sort_values("dose_residual")
        x += [*numbers(line["dose_residual"]), None]
        y += [*numbers(rate(line, "coherent")), None]
    row, col = place.at[k]
    place.figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        name="random directions",
        line={"color": PALE, "width": 1},
        marker={"size": 3, "color": PALE},
        showlegend=False,
        hoverinfo="skip",
        row=row,
        col=col,
    )


def add_line(
    place: Panels, k: int, rows: pd.DataFrame, quality: str, dash: str, look: Look
) -> None:
    row, col = place.at[k]
    symbol = look.symbol if quality == "coherent" else f"{look.symbol}-open"
    place.figure.add_scatter(
        x=numbers(rows["dose_residual"]),
        y=numbers(rate(rows, quality)),
        mode="lines+markers",
        name=f"{look.label}, {quality}",
        line={"color": look.colour, "dash": dash, "width": 1.8},
        marker={"symbol": symbol, "size": 6, "color": look.colour},
        hovertext=[_hover(cell, look) for cell in records(rows)],
        hoverinfo="text",
        showlegend=False,
        row=row,
        col=col,
    )


def _hover(cell: Cell, look: Look) -> str:
    return (
        f"<b>{plain(cell['model'])}, {plain(str(cell['source']).upper())}</b>, {look.label}, "
        f"block {number(cell['layer'])}<br>dose {number(cell['dose_residual'])}: coherent "
        f"{percent(cell['coherent'])}, garbled {percent(cell['garbled'])}, n = {cell['n']:.0f}"
    )


def add_ring(place: Panels, k: int, hits: pd.DataFrame) -> None:
    """Around the condition that was taken to the test requests."""
    row, col = place.at[k]
    place.figure.add_scatter(
        x=numbers(hits["dose_residual"]),
        y=numbers(rate(hits, "coherent")),
        mode="markers",
        name="taken to the test",
        marker={"symbol": "circle-open", "size": 15, "color": BLACK, "line_width": 1.8},
        hoverinfo="skip",
        showlegend=False,
        row=row,
        col=col,
    )


def add_keys(figure: go.Figure, looks: Sequence[Look], random: bool) -> None:
    shown = [(look.label, look.colour, look.symbol, "solid") for look in looks]
    shown += [("solid: coherent", GREY, "circle", "solid")]
    shown += [("dotted: garbled", GREY, "circle-open", "dot")]
    if random:
        shown.append(("random directions,<br>coherent, any depth", PALE, "circle", "solid"))
    for label, colour, symbol, dash in shown:
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="lines+markers",
            name=label,
            line={"color": colour, "dash": dash, "width": 1.8},
            marker={"symbol": symbol, "size": 7, "color": colour},
        )
    marker = {"symbol": "circle-open", "size": 13, "color": BLACK, "line_width": 1.8}
    figure.add_scatter(x=[None], y=[None], mode="markers", name="taken to the test", marker=marker)

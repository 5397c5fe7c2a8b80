"""The lines of a search: one condition over doses, random directions behind, and their keys."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.marks import add_key, numbers
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
    place: Panels,
    k: int,
    rows: pd.DataFrame,
    quality: str,
    look: Look,
    *,
    mode: str = "lines+markers",
    shift: float = 1.0,
    **more: Any,
) -> None:
    """One condition over its doses; coherent refusals solid and filled, garbled dotted and open.

    Lines without marks are thin: a curve of few prompts. Marks without lines are larger. `shift`
    moves marks aside (a factor), so that intervals of several conditions stay apart.
    """
    row, col = place.at[k]
    dash = "solid" if quality == "coherent" else "dot"
    symbol = look.symbol if quality == "coherent" else f"{look.symbol}-open"
    place.figure.add_scatter(
        x=numbers(rows["dose_residual"] * shift),
        y=numbers(rate(rows, quality)),
        mode=mode,
        name=f"{look.label}, {quality}" + (", screened" if mode == "lines" else ""),
        line={"color": look.colour, "dash": dash, "width": 1.1 if mode == "lines" else 1.8},
        marker={"symbol": symbol, "size": 8 if mode == "markers" else 6, "color": look.colour},
        hovertext=[_hover(cell, look) for cell in records(rows)],
        hoverinfo="text",
        showlegend=False,
        row=row,
        col=col,
        **more,
    )


def _hover(cell: Cell, look: Look) -> str:
    return (
        f"<b>{plain(cell['model'])}, {plain(str(cell['source']).upper())}</b>, {look.label}, "
        f"block {number(cell['layer'])}<br>dose {number(cell['dose_residual'])}: coherent "
        f"{percent(cell['coherent'])}, garbled {percent(cell['garbled'])}, n = {cell['n']:.0f}"
    )


def add_ring(place: Panels, k: int, hits: pd.DataFrame, label: str) -> None:
    """Around the condition that was chosen."""
    row, col = place.at[k]
    place.figure.add_scatter(
        x=numbers(hits["dose_residual"]),
        y=numbers(rate(hits, "coherent")),
        mode="markers",
        name=label,
        marker={"symbol": "circle-open", "size": 15, "color": BLACK, "line_width": 1.8},
        hoverinfo="skip",
        showlegend=False,
        row=row,
        col=col,
    )


def add_keys(figure: go.Figure, looks: Sequence[Look], *, ring: str) -> None:
    """`ring` says what rings are; empty where there are none."""
    for look in looks:
        add_line_key(figure, look.label, look)
    add_line_key(figure, "solid: coherent", Look("", GREY))
    add_line_key(figure, "dotted: garbled", Look("", GREY, "dot", "circle-open"))
    if ring:
        add_key(figure, ring, "circle-open", BLACK, size=13, width=1.8)


def add_line_key(figure: go.Figure, label: str, look: Look, mode: str = "lines+markers") -> None:
    line = {"color": look.colour, "dash": look.dash, "width": 1.1 if mode == "lines" else 1.8}
    add_key(figure, label, look.symbol, look.colour, size=7, width=0, mode=mode, line=line)

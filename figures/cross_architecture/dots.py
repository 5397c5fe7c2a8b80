"""Estimates as dots with horizontal intervals, alone or in groups of one dot a model."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.looks import UNTRAINED
from figures.marks import NO_INTERVAL, bars, numbers
from figures.rows import has_interval, records
from figures.style import Look
from figures.words import Cell, hover, p_value


def add_dots(
    figure: go.Figure,
    table: pd.DataFrame,
    y: Sequence[float],
    look: Look,
    quantity: str,
    *,
    row: int = 1,
    col: int = 1,
    hollow: bool = False,
    legend: bool = False,
    size: int = 9,
) -> None:
    """One mark a row of the table at height y; without an interval it is open with a dot."""
    filled = f"{look.symbol}-open" if hollow else look.symbol
    label = f"{look.label}, {UNTRAINED}" if hollow else look.label
    figure.add_scatter(
        x=numbers(table["estimate"]),
        y=list(y),
        mode="markers",
        name=label,
        legendgroup=look.label,
        showlegend=legend,
        marker={
            "symbol": [
                filled if known else look.symbol + NO_INTERVAL for known in has_interval(table)
            ],
            "size": size - 2 if hollow else size,
            "color": look.colour,
            "line": {"color": look.colour, "width": 1.6},
        },
        error_x=bars(table, look.colour, 1.0 if hollow else 1.8),
        hovertext=[_hover(cell, label, quantity) for cell in records(table)],
        hoverinfo="text",
        row=row,
        col=col,
    )


def _hover(cell: Cell, label: str, quantity: str) -> str:
    adjusted = cell.get("p_adjusted")
    tested = "" if adjusted is None or pd.isna(adjusted) else f"<br>{p_value(adjusted)} (adjusted)"
    return hover(cell, label, quantity) + tested


def upright(
    figure: go.Figure, x: float, *, row: int = 1, col: int = 1, dash: str = "solid"
) -> None:
    """A vertical line at a level: the counterpart of `level_line`."""
    figure.add_vline(
        x=x,
        line={"color": "#777777", "width": 1, "dash": dash},
        row=row,  # type: ignore[arg-type]  # plotly's stub knows only "all"
        col=col,  # type: ignore[arg-type] # int or "all"
        exclude_empty_subplots=False,
    )

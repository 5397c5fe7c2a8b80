"""Stacked bars of coherent refusals and garbled answers, and their keys."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.marks import add_key, bars, numbers
from figures.refusal.looks import in_percent, percent, rate
from figures.refusal.panels import Panels
from figures.rows import absent, records
from figures.style import BLACK, Look, number, plain
from figures.words import Cell


def _fills(look: Look) -> dict[str, dict[str, Any]]:
    """Coherent refusals are filled, garbled answers hatched."""
    hatch = {"shape": "/", "fgcolor": look.colour, "size": 5, "solidity": 0.25}
    outline = {"color": look.colour, "width": 0.6}
    garbled = {"color": look.faint(0.25), "pattern": hatch, "line": outline}
    return {"coherent": {"color": look.colour}, "garbled": garbled}


def add_stack(
    place: Panels, k: int, rows: pd.DataFrame, x: Sequence[float], width: float, look: Look
) -> None:
    """One stack a row of the table; the interval is that of the coherent share."""
    row, col = place.at[k]
    coherent = in_percent(rows, "coherent")
    below = numbers(coherent["estimate"])
    parts = {
        "coherent": {"y": below, "error_y": bars(coherent, BLACK, 1.0)},
        "garbled": {"y": numbers(rate(rows, "garbled")), "base": below},
    }
    for name, marker in _fills(look).items():
        place.figure.add_bar(
            x=list(x),
            width=width,
            name=f"{look.label}, {name}",
            marker=marker,
            hovertext=[_hover(cell, look) for cell in records(rows)],
            hoverinfo="text",
            showlegend=False,
            row=row,
            col=col,
            **parts[name],
        )


def add_chosen(place: Panels, k: int, x: Sequence[float], look: Look) -> None:
    """Above the depth that was chosen on validation prompts."""
    row, col = place.at[k]
    place.figure.add_scatter(
        x=list(x),
        y=[109] * len(x),
        mode="markers",
        name=f"{look.label}, chosen",
        marker={"symbol": "triangle-down", "size": 8, "color": look.colour},
        showlegend=False,
        hoverinfo="skip",
        row=row,
        col=col,
    )


def add_keys(figure: go.Figure, looks: Mapping[str, Look]) -> None:
    for look in looks.values():
        for name, marker in _fills(look).items():
            figure.add_bar(x=[None], y=[None], name=f"{look.label}, {name}", marker=marker)
        label = f"{look.label}, chosen depth"
        add_key(figure, label, "triangle-down", look.colour, size=10, width=0)


def _hover(cell: Cell, look: Look) -> str:
    dose = cell["dose_residual"]
    share = "" if absent(dose) else f", dose {number(dose)}"
    return (
        f"<b>{plain(cell['model'])}, {look.label}</b><br>depth {percent(cell['share'])}{share}<br>"
        f"coherent refusals {percent(cell['coherent'])} [{percent(cell.get('coherent_low'))}, "
        f"{percent(cell.get('coherent_high'))}]<br>garbled {percent(cell['garbled'])}<br>"
        f"n = {cell['n']:.0f}"
    )

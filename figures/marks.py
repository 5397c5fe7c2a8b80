"""Estimates with their intervals as traces. A missing interval is its own mark, never a zero.

Tables share these columns: layer, depth_percent, estimate, low, high, n, status, reason.
"""

import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from figures.rows import has_interval, layers_of, records, select
from figures.style import GREY, Look
from figures.words import hover, places

NO_INTERVAL = "-open-dot"
"""Ending of the symbol of an estimate without an interval."""


DENSE = 8
"""With more layers than this, marks are small."""


def numbers(values: Iterable[Any]) -> list[float | None]:
    """JSON has no NaN: what is missing is null, and nothing is drawn there."""
    return [float(v) if v is not None and np.isfinite(v) else None for v in values]


def add_line(
    figure: go.Figure,
    table: pd.DataFrame,
    look: Look,
    quantity: str,
    *,
    row: int = 1,
    col: int = 1,
    band: bool = False,
    offset: float = 0.0,
    legend: bool = True,
    lines: bool = True,
    hollow: bool = False,
) -> None:
    """One condition over layers, with its interval as a band or as bars.

    `offset` moves the marks sideways, so that bars of several conditions stay apart. `hollow`
    marks are open; marks without an interval are open with a dot.
    """
    rows = table.sort_values("layer")
    size = 8 if len(rows) <= DENSE else 5
    if band:
        _add_bands(figure, rows, look, row, col)
    filled = f"{look.symbol}-open" if hollow else look.symbol
    symbols = [filled if known else look.symbol + NO_INTERVAL for known in has_interval(rows)]
    figure.add_scatter(
        x=[layer + offset for layer in rows["layer"].tolist()],
        y=numbers(rows["estimate"]),
        mode="lines+markers" if lines else "markers",
        name=look.label,
        legendgroup=look.label,
        showlegend=legend,
        line={"color": look.colour, "dash": look.dash, "width": look.width},
        marker={
            "symbol": symbols,
            "size": size,
            "color": look.colour,
            "line": {"color": look.colour, "width": 1.6},
        },
        error_y=None if band else bars(rows, look.colour),
        hovertext=[hover(cell, look.label, quantity) for cell in records(rows)],
        hoverinfo="text",
        row=row,
        col=col,
    )


def bars(table: pd.DataFrame, colour: str, thickness: float = 1.2) -> dict[str, Any]:
    """Error bars from low to high; none where an end is missing."""
    return {
        "type": "data",
        "symmetric": False,
        "array": numbers(table["high"] - table["estimate"]),
        "arrayminus": numbers(table["estimate"] - table["low"]),
        "color": colour,
        "thickness": thickness,
        "width": 3,
    }


def _add_bands(figure: go.Figure, rows: pd.DataFrame, look: Look, row: int, col: int) -> None:
    """One polygon for each run of layers with an interval; a lone layer gets a bar."""
    cells = zip(has_interval(rows), rows["layer"], rows["low"], rows["high"], strict=True)
    for known, run in groupby(cells, key=lambda cell: cell[0]):
        if not known:
            continue
        _, x, low, high = (list(column) for column in zip(*run, strict=True))
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*low, *reversed(high)],
            mode="lines",
            fill="toself",
            fillcolor=look.faint(),
            line={"width": 0 if len(x) > 1 else 1.2, "color": look.colour},
            name=f"{look.label}, 95 % interval",
            legendgroup=look.label,
            showlegend=False,
            hoverinfo="skip",
            row=row,
            col=col,
        )


def layer_axis(
    figure: go.Figure, table: pd.DataFrame, *, row: int = 1, col: int = 1, most: int = 9
) -> None:
    """Ticks at whole layers with the depth below them, thinned to at most `most`."""
    layers = layers_of(table)
    if not layers:
        return
    depths = dict(zip(table["layer"].tolist(), table["depth_percent"].tolist(), strict=True))
    step = -(-len(layers) // most)
    shown = layers[::-1][::step][::-1]  # the last layer is always labelled
    figure.update_xaxes(
        tickvals=shown,
        ticktext=[f"{layer}<br>{depths[layer]:.0f} %" for layer in shown],
        title_text="layer (depth below)",
        range=[layers[0] - 0.5, layers[-1] + 0.5],
        row=row,
        col=col,
    )


def padded_range(table: pd.DataFrame, *include: float, within: float = np.inf) -> list[float]:
    """Ends of an axis that holds `include` and every estimate and interval, with some air.

    What lies further than `within` from all of `include` is left outside: one endless interval
    must not flatten everything else.
    """
    seen = table[["estimate", "low", "high"]].to_numpy(float).ravel()
    seen = seen[np.isfinite(seen)]
    inside = seen[(seen >= min(include) - within) & (seen <= max(include) + within)]
    low, high = min([*include, *inside.tolist()]), max([*include, *inside.tolist()])
    air = 0.06 * (high - low) or 1.0
    return [low - air, high + air]


def beyond_notes(table: pd.DataFrame, ends: list[float], column: str, where: str) -> list[str]:
    """Says which intervals an axis with these ends cannot hold."""
    wide = select(
        table.assign(wide=(table["low"] < ends[0]) | (table["high"] > ends[1])), wide=True
    )
    return [f"runs beyond the axis ({where}): {'; '.join(places(wide, column))}"] * bool(len(wide))


def log_axis(low: float, high: float) -> dict[str, Any]:
    """A log axis whose ticks are written in full: 0.02, not a small 2 below 0.01."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 5 else (1,)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def add_key(
    figure: go.Figure,
    label: str,
    symbol: str,
    colour: str,
    *,
    size: float = 9,
    width: float = 1.6,
    **more: Any,
) -> None:
    """A mark of the legend only: it says what a filling, a symbol or a dash means."""
    marker = {"symbol": symbol, "size": size, "color": colour, "line_width": width}
    look = {"mode": "markers", "name": label, "marker": marker}
    figure.add_scatter(x=[None], y=[None], **look | more)


def level_line(figure: go.Figure, y: float, *, row: int = 1, col: int = 1) -> None:
    figure.add_hline(
        y=y,
        line={"color": GREY, "width": 1.4},
        layer="below",
        row=row,  # type: ignore[arg-type]  # plotly's stub knows only "all"
        col=col,  # type: ignore[arg-type] # int or "all"
        exclude_empty_subplots=False,  # lines come first, before there is anything to see
    )

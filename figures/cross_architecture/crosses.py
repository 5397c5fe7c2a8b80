"""Marks with intervals in both directions: the natural gap across, a patch's change upwards."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.marks import bars
from figures.means import means_by_layer
from figures.rows import absent, records, select, values_of
from figures.style import GREY, Look, number, plain
from figures.words import interval, reason

Spread = Mapping[tuple[str, int], tuple[pd.DataFrame, pd.DataFrame]]
"""(model, patched layer) → the natural gap and the change, each with its interval."""


def mark(
    figure: go.Figure,
    cell: Mapping[str, Any],
    look: Look,
    spread: Spread,
    *,
    legend: bool,
    row: int,
    col: int,
) -> None:
    """Its bars come from the pairs, where these are in the run."""
    across = spread.get((cell["model"], cell["patch_layer"]))
    defined = not (absent(cell["low"]) or absent(cell["high"]))
    figure.add_scatter(
        x=[cell["natural_gap"]],
        y=[cell["change"]],
        mode="markers",
        name=look.label,
        legendgroup=look.label,
        showlegend=legend,
        error_x=bars(across[0], look.faint(0.55)) if across else None,
        error_y=bars(across[1], look.faint(0.55)) if across else None,
        marker={
            "symbol": look.symbol if defined else f"{look.symbol}-open",
            "size": 10,
            "color": look.colour,
            "line": {"color": look.colour, "width": 1.8},
        },
        hovertext=[_hover(cell)],
        hoverinfo="text",
        row=row,
        col=col,
    )


def _hover(cell: Mapping[str, Any]) -> str:
    head = (
        f"<b>{plain(cell['model'])}</b><br>patched at layer {cell['patch_layer']}, read at layer "
        f"{cell['layer']}<br>natural gap {number(cell['natural_gap'])}, change by the patch "
        f"{number(cell['change'])}<br>n = {cell['n']:.0f} pairs<br>"
    )
    if absent(cell["estimate"]):
        return f"{head}transfer undefined: {reason(cell)}"
    return f"{head}transfer {number(cell['estimate'])}{interval(cell)}"


def spread_of(
    pairs: pd.DataFrame | None,
) -> Spread:
    """(model, patched layer) → the natural gap and the change, each with a t interval."""
    if pairs is None or pairs.empty:
        return {}
    found = {}
    for model in values_of(pairs, "model"):
        rows = select(pairs, model=model).rename(columns={"patch_layer": "layer"})
        rows = rows.assign(depth_percent=0.0)
        gap, change = (
            means_by_layer(rows, column) for column in ("natural_gap_last", "delta_log_r_v_last")
        )
        for layer in gap["layer"].tolist():
            found[model, layer] = (select(gap, layer=layer), select(change, layer=layer))
    return found


def ends_of(table: pd.DataFrame, spread: Spread) -> dict[str, list[float]]:
    """The same axes in all panels, each holding its marks, their bars and 0."""
    places = {(cell["model"], cell["patch_layer"]) for cell in records(table)}
    ends = {}
    for k, (axis, column) in enumerate((("x", "natural_gap"), ("y", "change"))):
        parts = [spread[place][k][["low", "high"]] for place in places if place in spread]
        seen = [0.0, *table[column].dropna().tolist()]
        for part in parts:
            seen += part.to_numpy(float).ravel().tolist()
        seen = [value for value in seen if not absent(value)]
        air = 0.08 * (max(seen) - min(seen)) or 0.1
        ends[axis] = [min(seen) - air, max(seen) + air]
    return ends


def levels(
    figure: go.Figure, ends: Mapping[str, list[float]], *, legend: bool, row: int, col: int
) -> None:
    low, high = min(ends["x"][0], ends["y"][0]), max(ends["x"][1], ends["y"][1])
    lines = (
        ("all of the gap is<br>carried over (1)", [low, high], [low, high], "dash"),
        ("nothing is (0)", [low, high], [0, 0], "solid"),
        ("", [0, 0], [low, high], "solid"),
    )
    for name, x, y, dash in lines:
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            name=name,
            legendrank=2000,
            showlegend=legend and bool(name),
            line={"color": GREY, "dash": dash, "width": 1.2},
            hoverinfo="skip",
            row=row,
            col=col,
        )

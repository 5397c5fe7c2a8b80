"""What figures say in words: hover texts, intervals, reasons, and notes on what is missing.

Everything taken from a table goes through `plain`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from figures.rows import has_interval, layers_of, records, select, values_of
from figures.style import number, plain

Cell = Mapping[str, Any]


def hover(cell: Cell, name: str, quantity: str) -> str:
    """What a reader sees on pointing at a mark; `name` is a label, already through `plain`."""
    lines = [f"<b>{name}</b>"]
    if "layer" in cell:
        lines.append(f"layer {cell['layer']} (depth {number(cell['depth_percent'])} %)")
    if pd.isna(cell["estimate"]):
        return "<br>".join([*lines, f"missing: {reason(cell)}"])
    lines.append(f"{quantity}: {number(cell['estimate'], 4)}{interval(cell)}")
    lines.append(f"n = {cell['n']:.0f}")
    return "<br>".join(lines)


def interval(cell: Cell, prefix: str = "") -> str:
    """` [low, high]`, or why there is none."""
    low, high = cell[f"{prefix}low"], cell[f"{prefix}high"]
    if pd.isna(low) or pd.isna(high):
        return f" (no interval: {reason(cell, prefix)})"
    return f" [{number(low)}, {number(high)}]"


def reason(cell: Cell, prefix: str = "") -> str:
    given = cell.get(f"{prefix}reason")
    return plain(given) if isinstance(given, str) and given else "no reason was recorded"


def p_value(p: object) -> str:
    if not isinstance(p, float) or pd.isna(p):
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def missing_notes(
    table: pd.DataFrame,
    quantity: str,
    column: str = "condition",
    named: Callable[[str], str] = plain,
) -> list[str]:
    """One sentence a reason: what has no value, or a value without an interval, and where."""
    absent: dict[tuple[str, str], pd.DataFrame] = {}
    for cell in records(select(table.assign(known=has_interval(table)), known=False)):
        kind = f"no {quantity}" if pd.isna(cell["estimate"]) else "no interval"
        if cell["status"] == "by_construction":
            kind = "by construction"
        rows = absent.setdefault((kind, reason(cell)), pd.DataFrame())
        absent[kind, reason(cell)] = pd.concat([rows, pd.DataFrame([cell])])
    return [
        f"{kind}: {'; '.join(places(rows, column, named))}: {why}"
        for (kind, why), rows in absent.items()
    ]


def places(
    table: pd.DataFrame, column: str = "condition", named: Callable[[str], str] = plain
) -> list[str]:
    """Names with their layers; names with the same layers share them."""
    by_layers: dict[str, list[str]] = {}
    for name in values_of(table, column):
        rows = select(table, **{column: name})
        layers = _runs(layers_of(rows)) if "layer" in rows else ""
        by_layers.setdefault(layers, []).append(named(str(name)))
    return [
        ", ".join(names) + (f" (layer {layers})" if layers else "")
        for layers, names in by_layers.items()
    ]


def _runs(layers: list[int]) -> str:
    """[27, 28, 29, 31] → `27–29, 31`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)

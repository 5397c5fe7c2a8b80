"""Whose vector steers whom: rows are sources, columns targets, the diagonal the target's own."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from figures.rows import absent, n_range, records, select, values_of
from figures.style import DIVERGING, SMALL, decimal, finish, grid, nothing, number, plain, wrap
from figures.words import p_value

_OVER_LAYERS = -1
_CELL = 66
"""Pixels of a cell's height: its number and two more lines."""


def transfer_matrix(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Change of preference, one panel a map and strength."""
    table = select(tables["transfer"], readout="preference")
    carried, own = (select(table, vector=vector) for vector in ("carried", "own"))
    if carried.empty:
        return nothing("No figure “transfer_matrix”", "transfer.csv has no carried vector")
    models, tuned = _models(table), _tuned(table)
    maps, strengths = values_of(carried, "map"), sorted(values_of(carried, "strength"))
    titles = [f"{m}, strength {number(s)}" for s in strengths for m in maps]
    figure = _grid(titles, len(strengths), len(maps), len(models))
    over = _excess(tables.get("transfer_over_controls"))
    for r, strength in enumerate(strengths, start=1):
        rows = pd.concat([carried, own])
        for c, name in enumerate(maps, start=1):
            cells = select(rows, strength=strength, map=(name, "none"))
            # A scale a strength: strong vectors would hide what weak ones do.
            scale = _largest(select(rows, strength=strength), "estimate")
            _map(figure, cells, models, scale, over, row=r, col=c, below=tuned)
    caption = (
        "Change of log P(preferred answer) − log P(rejected one), nats a token, when the vector of "
        "the row's pair is added to the column's base model, with its 95 % BCa bootstrap interval "
        f"over test pairs (n = {n_range(carried)}). Diagonal: the target's own vector, the "
        "ceiling. Bold: this change and its excess over every control (shuffled pairing, "
        "random map, random vector; on the diagonal random vectors) have intervals above 0; not "
        "corrected for the number of cells. Below each target: how far the tuned model itself is "
        "from its base, which is all there is to gain. Colours: a scale of its own a strength."
    )
    notes = [f"no value: {place}: {why}" for place, why in _lost(pd.concat([carried, own]))]
    return finish(figure, _title(carried, over), caption, notes)


def transfer_cosines(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """How alike the carried vector and the target's own are, mean over steered layers."""
    table = select(tables["transfer_cosines"], layer=_OVER_LAYERS)
    models, maps = _models(table), values_of(table, "map")
    figure = _grid(maps, 1, len(maps), len(models))
    for c, name in enumerate(maps, start=1):
        _map(figure, select(table, map=name), models, 1.0, {}, row=1, col=c)
    clear = int((table["p_adjusted"].to_numpy(float) < 0.05).sum())
    shares = f"{clear} of {len(table)} (cells, maps)"
    title = f"The carried vector points the target's way above chance in {shares}"
    caption = (
        "Cosine of the vector of one half of the source's texts, carried, and the target's own of "
        "the other half, so that no text's noise is in both; mean over the steered layers. In "
        "brackets 95 % of the values under pairings of the texts that are shuffled inside kinds of "
        "text (not an interval of the cosine). Bold: p < 0.05 against them, Benjamini–Hochberg "
        "over cells, maps and layers."
    )
    return finish(figure, title, caption)


def _tuned(table: pd.DataFrame) -> dict[str, str]:
    return {
        row["target"]: f"<br>(tuned: {decimal(row['estimate'], 2)})"
        for row in records(select(table, vector="instruct"))
        if not absent(row["estimate"])
    }


def _models(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys([*values_of(table, "target"), *values_of(table, "source")]))


def _grid(titles: list[str], rows: int, columns: int, n: int) -> go.Figure:
    height = 60 + 66 + rows * (_CELL * n + 90)
    return grid(
        rows, columns, titles, height=height, gaps=(0.04, 100 / (height - 126) if rows > 1 else 0.1)
    )


def _largest(rows: pd.DataFrame, column: str) -> float:
    found = np.abs(rows[column].to_numpy(float))
    return float(np.nanmax(found, initial=1e-9))


def _map(
    figure: go.Figure,
    cells: pd.DataFrame,
    models: list[str],
    scale: float,
    over: Mapping[tuple, bool],
    *,
    row: int,
    col: int,
    below: Mapping[str, str] = MappingProxyType({}),
) -> None:
    shape = (len(models), len(models))
    values, texts, hovers = (
        np.full(shape, np.nan),
        np.full(shape, "", object),
        np.full(shape, "", object),
    )
    for cell in records(cells):
        at = models.index(cell["source"]), models.index(cell["target"])
        values[at] = np.nan if absent(cell["estimate"]) else cell["estimate"]
        texts[at] = _written(cell, _is_clear(cell, over))
        hovers[at] = _hover(cell)
    names = [wrap(plain(model), 14) for model in models]
    figure.add_heatmap(
        x=[name + below.get(model, "") for name, model in zip(names, models, strict=True)],
        y=names,
        z=[[None if np.isnan(v) else float(v) for v in line] for line in values],
        text=texts.tolist(),
        texttemplate="%{text}",
        textfont={"size": SMALL, "color": "#111111"},
        customdata=hovers.tolist(),
        hovertemplate="%{customdata}<extra></extra>",
        # Pale at its ends too, so that black numbers can be read on every colour.
        colorscale=[[0.0, "#9CC7E4"], DIVERGING[1], [1.0, "#F2B48A"]],
        zmin=-scale,
        zmax=scale,
        showscale=False,
        row=row,
        col=col,
    )
    figure.update_xaxes(showgrid=False, title_text="target", row=row, col=col)
    figure.update_yaxes(autorange="reversed", showgrid=False, row=row, col=col)
    if col == 1:
        figure.update_yaxes(title_text="source", row=row, col=col)
    else:
        figure.update_yaxes(showticklabels=False, row=row, col=col)


def _written(cell: Mapping[str, Any], clear: bool) -> str:
    if absent(cell["estimate"]):
        return "undefined"
    text, ends = decimal(cell["estimate"], 2), _ends(cell)
    return f"<b>{text}<br>{ends}</b>" if clear else f"{text}<br>{ends}"


def _ends(cell: Mapping[str, Any]) -> str:
    """An interval of the value, or what chance brings: the two must not look alike."""
    if "null_low" in cell:
        low, high = (decimal(cell[name], 2) for name in ("null_low", "null_high"))
        return f"chance<br>{low} to {high}"
    if absent(cell["low"]):
        return "no interval"
    return f"[{decimal(cell['low'], 2)}, {decimal(cell['high'], 2)}]"


def _is_clear(cell: Mapping[str, Any], over: Mapping[tuple, bool]) -> bool:
    if "p_adjusted" in cell:
        return not absent(cell["p_adjusted"]) and cell["p_adjusted"] < 0.05
    return not absent(cell["low"]) and cell["low"] > 0 and over.get(_key(cell), False)


def _key(cell: Mapping[str, Any]) -> tuple:
    return cell["source"], cell["target"], cell["map"], cell["strength"]


def _excess(over: pd.DataFrame | None) -> dict[tuple, bool]:
    """Whether a cell's excess has an interval above 0 over every control that it has."""
    if over is None or over.empty:
        return {}
    found: dict[tuple, bool] = {}
    for row in records(select(over, readout="preference")):
        if row["control"] != "share of own":
            above = not absent(row["low"]) and row["low"] > 0
            found[_key(row)] = found.get(_key(row), True) and above
    return found


def _hover(cell: Mapping[str, Any]) -> str:
    head = f"<b>{plain(cell['source'])} → {plain(cell['target'])}</b>"
    if "null_low" in cell:
        return f"{head}<br>cosine {number(cell['estimate'])}<br>{p_value(cell['p'])}"
    if absent(cell["estimate"]):
        return f"{head}<br>{plain(cell['reason'])}"
    levels = f"{number(cell['base'])} untouched, {number(cell['level'])} under the vector"
    return f"{head}<br>change {number(cell['estimate'])}<br>{levels}<br>n = {cell['n']:.0f}"


def _lost(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return [
        (f"{plain(r['source'])} → {plain(r['target'])}", plain(r["reason"]))
        for r in records(rows)
        if absent(r["estimate"])
    ]


def _title(carried: pd.DataFrame, over: Mapping[tuple, bool]) -> str:
    clear = sum(_is_clear(row, over) for row in records(carried))
    return (
        "A vector carried from another model raises preferences, and more than every control, in "
        f"{clear} of {len(carried)} comparisons (cells, maps, strengths)"
    )

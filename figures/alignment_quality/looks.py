"""How models and their baselines look, and what all figures of the analysis share."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.rows import absent, records, select
from figures.style import BLACK, BLUE, GREY, ORANGE, VERMILLION, Look, plain

POOLED, MEAN = "all axioms pooled", "mean of axioms"
STAGES: Mapping[str, Look] = {
    "instruct": Look("instruct", VERMILLION),
    "base": Look("base", BLUE, symbol="square"),
    "random weights": Look("random weights", GREY, symbol="x"),
    "words": Look("bag of words", BLACK, symbol="diamond"),
}
COMPARABLE = Look("adjusted η²", ORANGE)
Cell = Mapping[str, Any]


def family(model: str) -> str:
    """A model and its base stand together."""
    return model.removesuffix(" (random weights)").removesuffix("-base")


def headline_pool(separation: pd.DataFrame) -> str:
    """The first pooling gives the headline."""
    return str(separation["pool"].iloc[0])


def means(separation: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    """Means over the axioms, in the headline's pooling."""
    return select(separation, axiom=MEAN, pool=headline_pool(separation), **wanted)


def bars(table: pd.DataFrame, name: str, colour: str) -> dict[str, Any]:
    """Ends of the intervals as distances; where there is none, no bar."""
    up = (table[f"{name}_high"] - table[name]).fillna(0).clip(lower=0).tolist()
    down = (table[name] - table[f"{name}_low"]).fillna(0).clip(lower=0).tolist()
    width = {"color": colour, "thickness": 1.6, "width": 4}
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, **width}


def said(cell: Cell, name: str = "eta", digits: int = 3) -> str:
    """`0.031 [0.024, 0.040]`, or why there is no interval."""
    if absent(cell[name]):
        return plain(f"missing: {cell.get(f'{name}_reason') or cell.get('reason')}")
    middle = f"{cell[name]:.{digits}f}"
    if absent(cell[f"{name}_low"]):
        return f"{middle} (no interval)"
    return f"{middle} [{cell[f'{name}_low']:.{digits}f}, {cell[f'{name}_high']:.{digits}f}]"


def add_marks(
    figure: go.Figure, table: pd.DataFrame, look: Look, places: list[float], name: str, **where: Any
) -> None:
    """Estimates with intervals along x."""
    figure.add_scatter(
        x=table[name],
        y=places,
        mode="markers",
        name=look.label,
        legendgroup=look.label,
        marker={"symbol": look.symbol, "size": 10, "color": look.colour},
        error_x=bars(table, name, look.colour),
        hovertext=[f"{plain(row['model'])}: {said(row, name)}" for row in records(table)],
        hoverinfo="text",
        **where,
    )


def missing_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("missing")
    rows = [] if table is None else records(select(table, what="model"))
    return [f"not measured: {plain(row['id'])}: {plain(row['reason'])}" for row in rows]

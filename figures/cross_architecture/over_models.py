"""Summaries over models, as the last rows of the forest."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.dots import add_dots
from figures.rows import absent, records, select
from figures.style import BLACK, GREY, SMALL, Look, decimal

OWN = "gap at the own critical layer"
SUMMARIES: Mapping[str, Look] = {
    "mean of these models": Look("mean of these very models<br>(prompts resampled)", BLACK),
    "mean": Look("mean of models like these<br>(random effects)", BLACK, symbol="diamond"),
    "prediction": Look("expected of one more model<br>(prediction)", BLACK, symbol="square"),
}
WORDS = {name: look.label.replace("<br>", " ") for name, look in SUMMARIES.items()}


def over_models(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The summaries of the gap, in the order in which they are drawn; empty without any."""
    empty = pd.DataFrame(columns=["quantity", "estimate", "low", "high", "n", "status", "reason"])
    meta = tables.get("meta", empty)
    if meta.empty:
        return empty
    whole = select(
        meta.assign(without=meta["without"].astype(object).fillna("")), effect=OWN, without=""
    )
    found = [row for name in SUMMARIES for row in records(select(whole, quantity=name))]
    for row in found:
        if row["quantity"] == "prediction" and absent(row["low"]):
            row["estimate"] = float("nan")  # a prediction is its interval and nothing else
    return pd.DataFrame(found, columns=whole.columns)


def draw_over_models(figure: go.Figure, summary: pd.DataFrame, first: int) -> None:
    """Below the models, from height `first` on."""
    if summary.empty:
        return
    figure.add_hline(y=first - 0.5, line={"color": GREY, "width": 1})
    for k, row in enumerate(records(summary)):
        look = SUMMARIES[row["quantity"]]
        add_dots(figure, summary.iloc[k : k + 1], [first + k], look, row["quantity"], size=13)
        second = "" if absent(row["low"]) else f"<br>{_spread(row)}"
        write(figure, first + k, effect(row) + second)


def _spread(row: Mapping[str, Any]) -> str:
    if row["quantity"] == "mean" and not absent(row.get("i2")):
        return f"I² = {100 * row['i2']:.0f} %, {row['models']:.0f} models"
    return f"{row['models']:.0f} models"


def effect(row: Mapping[str, Any]) -> str:
    """`0.12 [0.05, 0.20]`; what is missing is explained below the figure."""
    if absent(row["estimate"]):
        return "undefined (see below)"
    if absent(row["low"]) or absent(row["high"]):
        return f"{decimal(row['estimate'], 2)}, no interval<br>(see below)"
    ends = (decimal(row[key], 2) for key in ("low", "high"))
    return f"{decimal(row['estimate'], 2)} [{', '.join(ends)}]"


def write(figure: go.Figure, y: float, text: str, *, inside: bool = False) -> None:
    """A text at the right of a row; or in it, in place of a mark."""
    figure.add_annotation(
        text=text,
        x=0.01 if inside else 1.02,
        xref="paper",
        y=y,
        xanchor="left",
        align="left",
        showarrow=False,
        bgcolor="white" if inside else None,
        font={"size": SMALL, "color": "#555555" if inside else "#222222"},
    )

"""What figures of doses share: axes, looks from dark to light, the best of some conditions."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import pandas as pd
from plotly.colors import sample_colorscale

from figures.marks import log_axis
from figures.refusal.panels import Panels
from figures.rows import records
from figures.style import Look
from figures.words import Cell

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "star")


def axes(place: Panels, table: pd.DataFrame) -> None:
    """The same doses in every panel."""
    doses = table["dose_residual"].astype(float).tolist()
    place.figure.update_xaxes(**log_axis(min(doses) / 1.25, max(doses) * 1.25))
    place.figure.update_yaxes(range=[-4, 104], tickvals=[0, 20, 60, 100])
    last = {col: row for row, col in place.at}
    for row, col in place.at:
        if col == 1:
            place.figure.update_yaxes(title_text="of answers, %", row=row, col=col)
        if row == last[col]:
            words = "dose, share of the residual norm"
            place.figure.update_xaxes(title_text=words, row=row, col=col)


def ramp(labels: Sequence[str]) -> list[Look]:
    """Looks of what has an order, dark to light, each with its symbol."""
    at = [k / max(len(labels) - 1, 1) * 0.82 for k in range(len(labels))]
    colours = sample_colorscale("Viridis", at, colortype="tuple") if at else []
    return [
        Look(label, _hex(rgb), symbol=symbol)
        for label, rgb, symbol in zip(labels, colours, cycle(_SYMBOLS), strict=False)
    ]


def _hex(rgb: Any) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def best_of(rows: pd.DataFrame) -> Cell:
    """The condition with the most coherent refusals; of equals the smaller dose."""
    return max(records(rows), key=lambda row: (row["coherent"], -row["dose"]))

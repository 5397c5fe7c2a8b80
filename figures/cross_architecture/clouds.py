"""A distribution of depths as dots sized by their share, with the chosen depth as a stroke."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from figures.marks import add_key
from figures.rows import records
from figures.style import BLACK, Look, number

_LARGEST = 26
"""Diameter, in pixels, of a depth that every resample chooses."""
_DARK = "#444444"


def resamples(figure: go.Figure, rows: pd.DataFrame, place: int, look: Look, col: int) -> None:
    """A dot a depth; its area is the share of resamples."""
    figure.add_scatter(
        x=rows["depth_percent"].tolist(),
        y=[place] * len(rows),
        mode="markers",
        name=look.label,
        showlegend=False,
        marker={
            "size": [_LARGEST * float(np.sqrt(share)) for share in rows["share"]],
            "sizemin": 1,
            "color": look.colour,
            "opacity": 0.55,
            "line_width": 0,
        },
        hovertext=[
            f"<b>{look.label}</b><br>layer {row['layer']} (depth {number(row['depth_percent'])} %)"
            f"<br>chosen by {100 * row['share']:.1f} % of resamples"
            for row in records(rows)
        ],
        hoverinfo="text",
        row=1,
        col=col,
    )


def choice(figure: go.Figure, rows: pd.DataFrame, place: int, look: Look, col: int) -> None:
    """The layer that the prompts themselves choose."""
    for row in records(rows):
        figure.add_scatter(
            x=[row["depth_percent"]],
            y=[place],
            mode="markers",
            name=f"{look.label}, chosen",
            showlegend=False,
            marker={"symbol": "line-ns", "size": 22, "line": {"color": BLACK, "width": 2.4}},
            hovertext=[
                f"<b>{look.label}</b><br>chosen: layer {row['layer']} of {row['n_layers']} "
                f"(depth {number(row['depth_percent'])} %)<br>95 % of resamples: "
                f"{number(row['depth_low'])} % to {number(row['depth_high'])} %"
            ],
            hoverinfo="text",
            row=1,
            col=col,
        )


def size_key(figure: go.Figure, above: float) -> None:
    for label, part in (("chosen by 50 % of resamples", 0.5), ("by 5 %", 0.05)):
        add_key(figure, label, "circle", _DARK, size=_LARGEST * part**0.5, width=0, opacity=0.55)
    add_key(figure, "chosen on the choosing half", "line-ns", _DARK, size=16, width=2.4)
    figure.update_layout(
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1 + above,
            "yanchor": "bottom",
            "itemsizing": "trace",
        }
    )

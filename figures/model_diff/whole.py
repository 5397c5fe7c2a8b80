"""Where the time of a whole run went."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.marks import numbers
from figures.rows import records
from figures.style import BLUE, finish, grid, number


def phases(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Seconds of every phase; what was on record already took none."""
    table = tables["phases"]
    figure = grid(height=300)
    figure.add_bar(
        x=[str(name) for name in table["phase"]],
        y=numbers(table["seconds"]),
        marker_color=BLUE,
        text=[number(row["seconds"]) for row in records(table)],
        showlegend=False,
    )
    figure.update_yaxes(title_text="seconds")
    total = float(table["seconds"].to_numpy(float).sum())
    title = f"{len(table)} phases in {total / 60:.1f} minutes"
    caption = "By the clock. What a folder held already was not measured again, and took no time."
    return finish(figure, title, caption)

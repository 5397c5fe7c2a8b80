"""Steering potential as published, beside what steering did."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.alignment_steering.notes import failed_notes
from figures.marks import bars, level_line, numbers
from figures.rows import records, where
from figures.style import BLUE, VERMILLION, decimal, finish, grid, plain, wrap


def ranking(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Left the potential, right the effect that `validate` measured, if it has."""
    table = tables["ranking"]
    known = where(table, table["measured"].notna())
    titles = ("potential: 1 − cosine", "measured effect over random vectors")
    figure = grid(1, 2 if len(known) else 1, titles[: 2 if len(known) else 1], height=400)
    names = [wrap(plain(name), 16) for name in table["model"].tolist()]
    figure.add_bar(
        x=names, y=numbers(table["potential"]), marker_color=BLUE, showlegend=False, row=1, col=1
    )
    if len(known):
        level_line(figure, 0.0, row=1, col=2)
        ends = {"estimate": "measured", "low": "measured_low", "high": "measured_high"}
        rows = known.assign(**{k: known[column].astype(float) for k, column in ends.items()})
        figure.add_scatter(
            x=[wrap(plain(name), 16) for name in known["model"].tolist()],
            y=numbers(rows["estimate"]),
            error_y=bars(rows, VERMILLION),
            mode="markers",
            marker={"size": 9, "color": VERMILLION},
            showlegend=False,
            row=1,
            col=2,
        )
    first = records(table)[0]
    title = (
        f"Highest potential as published: {first['model']} "
        f"(1 − {decimal(first['cosine'], 3)}); {_measured(known)}"
    )
    what = "".join(dict.fromkeys(str(row["what"]) for row in records(known)))
    caption = (
        "Left: 1 − cosine of mean base and instruct states, mean over layers, chosen answers: the "
        "plan's steering potential. " + (f"Right: {what}, with 95 % interval." if what else "")
    )
    return finish(figure, title, caption, failed_notes(tables))


def _measured(known: pd.DataFrame) -> str:
    if known.empty:
        return "steering is not measured yet"
    above = int((known["measured_low"].to_numpy(float) > 0).sum())
    return f"measured, {above} of {len(known)} vectors do more than random ones"

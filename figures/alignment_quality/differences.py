"""What training for safety adds: instruct minus base on the same inputs."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.alignment_quality.looks import STAGES, add_marks, said
from figures.rows import absent, records
from figures.style import finish, grid, plain


def differences(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One line a pair, with what its behaviour makes one expect."""
    table = tables["differences"]
    figure = grid(height=150 + 44 * len(table))
    places = [float(k) for k in range(len(table))]
    add_marks(figure, table, STAGES["instruct"], places, "eta", showlegend=False)
    for place, row in zip(places, records(table), strict=True):
        figure.add_annotation(
            text=f"<b>{row['found']}</b> {said(row)}<br>{_behaviour(row)}",
            x=1.01,
            xref="paper",
            xanchor="left",
            y=place,
            yref="y",
            showarrow=False,
            align="left",
        )
    figure.add_vline(x=0, line_color="#444444", line_width=1)
    names = [f"{plain(row['model'])}<br>− {plain(row['base'])}" for row in records(table)]
    figure.update_yaxes(
        tickvals=places, ticktext=names, range=[len(table) - 0.4, -0.6], showgrid=False
    )
    figure.update_xaxes(title_text="adjusted η², instruct minus base")
    finish(figure, _title(table), _CAPTION)
    return figure.update_layout(margin_r=300)


def _behaviour(row: Mapping[str, object]) -> str:
    gap = row["refusal_gap"]
    if absent(gap):
        return "behaviour not on record"
    return f"refuses {100 * float(str(gap)):+.0f} points more of the unsafe".replace("-", "−")


def _title(table: pd.DataFrame) -> str:
    rows = records(table)
    expected = [row for row in rows if row["expected"] == "higher"]
    held = sum(row["found"] == "higher" for row in expected)
    if not expected:
        higher = sum(row["found"] == "higher" for row in rows)
        return f"Instruct separates more than its base in {higher} of {len(rows)} pairs"
    return (
        f"Of {len(expected)} models taught to refuse unsafe inputs only, {held} separate them more "
        "than their base does"
    )


_CAPTION = (
    "Mean over the axioms at the headline's layer of both models, the same inputs, paired 95 % "
    "bootstrap interval on the same resamples. Right: how many points more of the unsafe than of "
    "the safe inputs the model refuses, less the same of its base, from the embedded models' "
    "manifest. A base separates topics, too: only the difference speaks of the training."
)

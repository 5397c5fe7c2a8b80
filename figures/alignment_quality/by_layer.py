"""Separation over the depth of each model."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.alignment_quality.looks import STAGES, family, headline_pool, means, said
from figures.rows import records, select, values_of, where
from figures.style import Look, finish, grid, plain

COLUMNS = 3


def by_layer(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a family; random weights and words where they were measured."""
    table = means(tables["separation"])
    trained = select(table, stage=("instruct", "base"))
    names = list(dict.fromkeys(family(str(name)) for name in values_of(trained, "model")))
    rows = -(-len(names) // COLUMNS)
    titles = [plain(name) for name in names]
    figure = grid(
        rows,
        COLUMNS,
        titles,
        height=150 + 210 * rows,
        shared_y="all",
        gaps=(0.05, 0.4 / (rows + 1)),
    )
    shown: set[str] = set()
    for k, name in enumerate(names):
        mine = where(table, [family(str(model)) == name for model in table["model"]])
        place = (k // COLUMNS + 1, k % COLUMNS + 1)
        for stage in ("instruct", "base", "random weights"):
            part = select(mine, stage=stage).sort_values("depth_percent")
            if len(part):
                _line(figure, part, STAGES[stage], place, stage not in shown)
                shown.add(stage)
    figure.update_xaxes(title_text="depth, %", range=[-4, 104], row=rows)
    for row in range(1, rows + 1):
        figure.update_yaxes(title_text="adjusted η²", row=row, col=1)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.05, "yanchor": "bottom"})
    pool = headline_pool(tables["separation"])
    caption = (
        f"Mean over the axioms, {pool} pooling; bands: 95 % BCa intervals over inputs, layer by "
        "layer and not corrected for the number of layers. The headline's depth was fixed "
        "beforehand; the highest layer is no finding. Grey cross: random weights, at the "
        "headline's layer."
    )
    return finish(figure, "Separation of safe and unsafe inputs by depth", caption, room=26)


def _line(
    figure: go.Figure, part: pd.DataFrame, look: Look, place: tuple[int, int], legend: bool
) -> None:
    row, col = place
    x = part["depth_percent"].tolist()
    if len(part) > 1:
        known = part.dropna(subset=["eta_low", "eta_high"])
        figure.add_scatter(
            x=[*known["depth_percent"], *known["depth_percent"][::-1]],
            y=[*known["eta_low"], *known["eta_high"][::-1]],
            fill="toself",
            fillcolor=look.faint(),
            line_width=0,
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            row=row,
            col=col,
        )
    figure.add_scatter(
        x=x,
        y=part["eta"],
        mode="lines+markers",
        name=look.label,
        legendgroup=look.label,
        showlegend=legend,
        line={"color": look.colour, "width": look.width},
        marker={"symbol": look.symbol, "size": 7},
        hovertext=[f"layer {cell['layer']:.0f}: {said(cell)}" for cell in records(part)],
        hoverinfo="text",
        row=row,
        col=col,
    )

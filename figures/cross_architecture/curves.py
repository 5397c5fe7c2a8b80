"""One model's gap over its depth: a line, perhaps with a band; thin and grey if untrained."""

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.looks import UNTRAINED, named
from figures.marks import NO_INTERVAL, numbers
from figures.rows import has_interval, records, select, values_of, where
from figures.style import Look
from figures.words import hover, p_value

ALPHA = 0.05


def line(figure: go.Figure, rows: pd.DataFrame, look: Look) -> None:
    """Missing layers interrupt the line."""
    clear = (rows["p_all_layers"] <= ALPHA).tolist()
    symbols = [
        look.symbol + NO_INTERVAL if not known else look.symbol if hit else f"{look.symbol}-open"
        for known, hit in zip(has_interval(rows), clear, strict=True)
    ]
    figure.add_scatter(
        x=rows["depth_percent"].tolist(),
        y=numbers(rows["estimate"]),
        mode="lines+markers",
        name=look.label,
        legendgroup=look.label,
        line={"color": look.colour, "dash": look.dash, "width": 1.4},
        marker={
            "symbol": symbols,
            "size": [8 if hit else 5 for hit in clear],
            "color": look.colour,
            "opacity": 1,
            "line": {"color": look.colour, "width": 1.2},
        },
        hovertext=[
            f"{hover(cell, look.label, 'g')}<br>{p_value(cell['p_all_layers'])} (search of layers)"
            for cell in records(rows)
        ],
        hoverinfo="text",
    )


def band(figure: go.Figure, rows: pd.DataFrame, look: Look) -> None:
    """One polygon on each side of the early layer, where there is none."""
    known = where(rows, has_interval(rows))
    steps = known["layer"].diff().gt(1).cumsum()
    for _, part in known.groupby(steps.tolist()):
        x = part["depth_percent"].tolist()
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*part["low"], *reversed(part["high"].tolist())],
            mode="lines",
            fill="toself",
            fillcolor=look.faint(),
            line={"width": 0, "color": look.colour},
            name=f"{look.label}, 95 % interval",
            legendgroup=look.label,
            showlegend=False,
            hoverinfo="skip",
        )


def twins(figure: go.Figure, table: pd.DataFrame) -> None:
    for k, model in enumerate(values_of(table, "model")):
        rows = select(table, model=model).sort_values("layer")
        figure.add_scatter(
            x=rows["depth_percent"].tolist(),
            y=numbers(rows["estimate"]),
            mode="lines",
            line={"color": "#B5B5B5", "width": 1},
            name=f"the same models,<br>{UNTRAINED}",
            legendgroup=UNTRAINED,
            legendrank=2000,
            showlegend=k == 0,
            hovertext=[hover(cell, named(model), "g") for cell in records(rows)],
            hoverinfo="text",
        )

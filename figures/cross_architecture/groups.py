"""Groups of dots, one dot a model, and what is said of those that are missing."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.dots import add_dots
from figures.cross_architecture.looks import UNTRAINED, base, is_twin, named, trained
from figures.marks import add_key
from figures.rows import count, records, select, values_of, where
from figures.style import GREY, LIGHT, SMALL, Look, wrap
from figures.words import missing_notes, reason

_APART = 26
"""Pixels that a group takes beside its models."""


def add_groups(
    figure: go.Figure,
    table: pd.DataFrame,
    column: str,
    groups: Mapping[str, str],
    looks: Mapping[str, Look],
    quantity: str,
    *,
    row: int = 1,
    col: int = 1,
    legend: bool = True,
) -> None:
    """One group of dots a value of the column, from top to bottom; in it, one dot a model.

    A model with random weights hangs, hollow, below its trained self.
    """
    models = list(dict.fromkeys(base(name) for name in values_of(table, "model")))
    places = {key: k for k, key in enumerate(groups)}
    step = 0.8 / max(len(models), 1)
    for m, model in enumerate(models):
        middle = (m - (len(models) - 1) / 2) * step
        own = where(table, [base(name) == model for name in table["model"]])
        for cells, below, hollow in (
            (trained(own), 0.0, False),
            (where(own, is_twin(own)), 0.42 * step, True),
        ):
            if len(cells):
                y = [places[key] + middle + below for key in cells[column].tolist()]
                add_dots(
                    figure,
                    cells,
                    y,
                    looks[model],
                    quantity,
                    row=row,
                    col=col,
                    hollow=hollow,
                    legend=legend and not hollow,
                )
    for key, place in places.items():
        _say_missing(figure, select(table, **{column: key}), place, col)
    _group_axis(figure, list(groups.values()), row=row, col=col)


def _say_missing(figure: go.Figure, table: pd.DataFrame, place: int, col: int) -> None:
    """An empty group says why, in its place."""
    if count(table["estimate"].notna()):
        return
    why = " / ".join(dict.fromkeys(reason(cell) for cell in records(table)))
    figure.add_annotation(
        text=wrap(why, 34),
        x=0.5,
        xref=f"x{col if col > 1 else ''} domain",
        y=place,
        yref=f"y{col if col > 1 else ''}",
        showarrow=False,
        font={"size": SMALL, "color": "#555555"},
    )


def _group_axis(figure: go.Figure, labels: Sequence[str], *, row: int, col: int) -> None:
    for border in range(1, len(labels)):
        figure.add_hline(
            y=border - 0.5,
            line={"color": LIGHT, "width": 1.5},
            row=row,  # type: ignore[arg-type]  # plotly's stub knows only "all"
            col=col,  # type: ignore[arg-type] # int or "all"
        )
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=list(labels),
        range=[len(labels) - 0.5, -0.5],
        showgrid=False,
        row=row,
        col=col,
    )


def group_height(table: pd.DataFrame, n_groups: int, step: int = 17) -> int:
    """Height of a figure with this many groups of dots, `step` pixels a model."""
    models = {base(name) for name in values_of(table, "model")}
    return 126 + n_groups * (step * len(models) + _APART)


def group_notes(
    table: pd.DataFrame, column: str, groups: Mapping[str, str], quantity: str
) -> list[str]:
    """What is missing, group by group: the same models are often missing in several."""
    return [
        f"{words.replace('<br>', ' ').split(':')[0]}: {note}"
        for key, words in groups.items()
        for note in missing_notes(
            select(table, **{column: key}).drop(columns="layer", errors="ignore"),
            quantity,
            "model",
            named,
        )
    ]


def untrained_key(figure: go.Figure, table: pd.DataFrame) -> None:
    """What hollow marks are, if there are any."""
    if is_twin(table).any():
        add_key(figure, f"hollow: {UNTRAINED}", "circle-open", GREY, size=8)

"""Figures of lines: for each model one line a method or way, marks on them, words at the right."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.marks import add_key, numbers
from figures.rows import records
from figures.style import LIGHT, Look, grid, plain, wrap

BELOW, LOWER, LOWEST, LAST = 0.17, 0.34, 0.5, 0.66
"""Garbled shares hang below the main mark of their line, controls below those."""
_LINE, _APART = 58, 0.45


@dataclass(frozen=True)
class Lines:
    """Heights of the lines by (model, name), from 0 downwards; models stand apart."""

    figure: go.Figure
    at: Mapping[tuple[str, str], float]
    models: tuple[str, ...]

    def of(self, table: pd.DataFrame, column: str, below: float = 0.0) -> list[float]:
        """Heights of a table's rows, whose `column` names the line within the model."""
        return [self.at[str(row["model"]), str(row[column])] + below for row in records(table)]


def lines(models: Sequence[str], names: Sequence[str], lost: Mapping[str, str]) -> Lines:
    """An empty figure; models that were not measured (with the reason) get one line."""
    every = tuple(dict.fromkeys([*models, *lost]))
    at: dict[tuple[str, str], float] = {}
    y = 0.0
    for model in every:
        for name in [""] if model in lost else names:
            at[model, name] = y
            y += 1
        y += _APART
    found = Lines(grid(height=150 + round(_LINE * (max(at.values()) + 1))), at, every)
    _axis(found)
    for model, why in lost.items():
        brief = textwrap.shorten(why, 120, placeholder=" …")
        write(found, at[model, ""], wrap(f"not measured: {plain(brief)}", 74), x=0.01)
    return found


def _axis(place: Lines) -> None:
    mine = [[y for (name, _), y in place.at.items() if name == model] for model in place.models]
    for before in mine[:-1]:
        border = before[-1] + (1 + _APART) / 2
        # Lines come first, before there is anything to see.
        look = {"color": LIGHT, "width": 1.5}
        place.figure.add_hline(y=border, line=look, exclude_empty_subplots=False)
    place.figure.update_yaxes(
        tickvals=[sum(ys) / len(ys) for ys in mine],
        ticktext=[wrap(plain(model), 26) for model in place.models],
        range=[max(place.at.values()) + 0.8, -0.7],
        showgrid=False,
        tickfont_size=13,
    )


def name_ticks(place: Lines) -> None:
    """The name of every line at its left, below that of its model."""
    words = []
    for k, (model, name) in enumerate(place.at):
        first = k == 0 or list(place.at)[k - 1][0] != model
        words.append(f"<b>{wrap(plain(model), 26)}</b><br>" * first + plain(name))
    place.figure.update_yaxes(tickvals=list(place.at.values()), ticktext=words)


def marks(
    place: Lines,
    x: Any,
    y: Sequence[float],
    look: Look,
    hover: Sequence[str],
    *,
    size: int = 11,
    **more: Any,
) -> None:
    place.figure.add_scatter(
        x=numbers(x),
        y=y,
        mode="markers",
        name=look.label,
        marker={
            "symbol": look.symbol,
            "size": size,
            "color": look.colour,
            "line": {"color": look.colour, "width": 1.8},
        },
        hovertext=hover,
        hoverinfo="text",
        cliponaxis=False,
        **more,
    )


def write(place: Lines, y: float, text: str, x: float = 1.02) -> None:
    """Words at the right of a line, or in it."""
    place.figure.add_annotation(
        text=text, x=x, xref="paper", y=y, xanchor="left", align="left", showarrow=False
    )


def keys(place: Lines) -> None:
    """One key for what is garbled; keys above the plot, three a line."""
    add_key(place.figure, "open, lighter: garbled", "circle-open", "#555555", size=8, width=1.4)
    above = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"}
    thirds = {"entrywidth": 0.33, "entrywidthmode": "fraction"}
    place.figure.update_layout(legend={"orientation": "h", **above, **thirds})

"""How sure the place of the critical layer is, and whether models agree on it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.clouds import choice, resamples, size_key
from figures.cross_architecture.dots import upright
from figures.cross_architecture.looks import fixed_depth, looks
from figures.rows import records, select, values_of
from figures.style import SMALL, decimal, finish, grid, number, plain, wrap
from figures.words import missing_notes, p_value

_DEFINITIONS = {
    "gap": "largest gap of log R_V",
    "drop": "largest growth of that gap",
    "patch": "largest effect of a patch",
}


def critical_depths(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """For each definition, the depths that resamples of the prompts choose, model by model."""
    chosen = select(tables["critical_layers"], range="all")
    shares = select(tables["depths"], range="all")
    present = [d for d in _DEFINITIONS if d in values_of(chosen, "definition")]
    models = values_of(chosen, "model")
    titles = [_heading(tables, d) for d in present]
    figure = grid(1, max(len(present), 1), titles, height=130 + 38 * len(models), gaps=(0.03, 0.1))
    fixed = fixed_depth(tables)
    for col, definition in enumerate(present, start=1):
        if fixed is not None:
            upright(figure, fixed, col=col, dash="dash")
        for place, model in enumerate(models):
            look = looks(tables)[model]
            one = {"model": model, "definition": definition}
            resamples(figure, select(shares, **one), place, look, col)
            choice(figure, select(chosen, **one), place, look, col)
        figure.update_xaxes(title_text="depth, %", col=col)
        figure.update_yaxes(
            tickvals=list(range(len(models))),
            ticktext=[wrap(plain(m), 22) for m in models] if col == 1 else [""] * len(models),
            range=[len(models) - 0.4, -0.6],
            col=col,
        )
    _fit_axes(figure, shares, len(present))
    size_key(figure, above=62 / (38 * len(models) + 4))
    notes = [
        f"{_DEFINITIONS[d]}: {note}"
        for d in present
        for note in missing_notes(
            select(chosen, definition=d).drop(columns=["layer"]), "effect", "model"
        )
    ]
    finish(figure, _title(tables, chosen), _caption(fixed), notes, room=62)
    return figure


def _fit_axes(figure: go.Figure, shares: pd.DataFrame, n: int) -> None:
    """All depths that were ever chosen, the same in every panel."""
    lowest = min(shares["depth_percent"].min() if len(shares) else 50.0, 50.0)
    for col in range(1, n + 1):
        figure.update_xaxes(range=[lowest - 5, 103], col=col)


def _concordance(tables: Mapping[str, pd.DataFrame], definition: str) -> dict[str, Any] | None:
    table = tables.get("concordance")
    if table is None or table.empty:
        return None
    rows = records(select(table, definition=definition))
    return rows[0] if rows else None


def _heading(tables: Mapping[str, pd.DataFrame], definition: str) -> str:
    """The definition, and below it how far apart it puts two models."""
    head, row = f"<b>{_DEFINITIONS[definition]}</b>", _concordance(tables, definition)
    if row is None:
        return head
    apart, low, high, chance = (
        decimal(row[key], 1) for key in ("mean_distance", "low", "high", "by_chance")
    )
    return (
        f"{head}<br><span style='font-size:{SMALL}px'>two models lie {apart} points apart<br>"
        f"[{low}, {high}], {chance} by chance; {p_value(row['p_nearer_than_chance'])}</span>"
    )


def _title(tables: Mapping[str, pd.DataFrame], chosen: pd.DataFrame) -> str:
    row = _concordance(tables, "gap")
    if row is None:
        first = records(select(chosen, definition="gap"))
        return "Place of the critical layer by three definitions" + "".join(
            f"; largest gap of {cell['model']} at {number(cell['depth_percent'])} % of the depth, "
            f"chosen by {100 * cell['share_of_resamples']:.0f} % of resamples"
            for cell in first[:1]
        )
    agree = "agree" if row["p_nearer_than_chance"] <= 0.05 else "are not shown to agree"
    apart, chance = (decimal(row[key], 1) for key in ("mean_distance", "by_chance"))
    return (
        f"Critical depths by the largest gap {agree} better than by chance: two models lie {apart} "
        f"points apart on average, {chance} by chance ({p_value(row['p_nearer_than_chance'])})"
    )


def _caption(fixed: float | None) -> str:
    line = "" if fixed is None else f" Dashed: the fixed depth, {number(fixed)} %."
    return (
        "Dots: the depth chosen when the prompts are resampled, area by the share of resamples; "
        f"stroke: the depth that the prompts choose.{line} A spread of dots means that the place "
        "is not known. Brackets: 95 % percentile interval of the mean distance, prompts resampled "
        "(noise only drives resampled depths apart, so it sits high); chance draws every model's "
        "layer evenly from its own candidates, p is one-sided and not corrected for the three "
        "definitions. The patch is searched over a part of the depth only."
    )

"""The gap of every model at its own critical layer, and what models have in common."""

import textwrap
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.compared import cells
from figures.cross_architecture.dots import add_dots, upright
from figures.cross_architecture.looks import UNTRAINED, looks, share
from figures.cross_architecture.over_models import (
    SUMMARIES,
    WORDS,
    draw_over_models,
    effect,
    over_models,
    write,
)
from figures.marks import add_key, beyond_notes, padded_range
from figures.rows import count, has_interval, n_range, records, select
from figures.style import Look, finish, grid, plain, wrap
from figures.words import Cell, missing_notes, reason

_HOLLOW_BELOW = 0.27
_ANSWERS = {
    "universal": "The critical layer is universal",
    "partly": "The critical layer is partly universal",
    "not": "The critical layer is not universal",
    "undecided": "Whether the critical layer is universal is undecided",
}


def forest(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Hedges g by model, hollow for its random twin; below, the summaries over models."""
    table, summary = tables["comparison"], over_models(tables)
    own, twins = cells(table, "g", tables), cells(table, "untrained_g", tables)
    n_rows = len(table) + len(summary)
    figure = grid(height=140 + 52 * n_rows)
    upright(figure, 0)
    every = looks(tables)
    for place, row in enumerate(records(table)):
        _model(figure, place, row, every[row["model"]], own, twins)
    draw_over_models(figure, summary, len(table))
    labels = [wrap(plain(name), 26) for name in table["model"].tolist()]
    labels += [SUMMARIES[name].label for name in summary["quantity"].tolist()]
    figure.update_yaxes(
        tickvals=list(range(n_rows)),
        ticktext=labels,
        range=[n_rows - 0.4, -0.6],
        showgrid=False,
        tickfont_size=13,
    )
    ends = _ends(own, twins, summary)
    figure.update_xaxes(
        range=ends, title_text="Hedges g of log R_V (above 0: higher in self-observing texts)"
    )
    if len(twins):
        _keys(figure)
    notes = _notes(table, own, twins, summary, ends)
    finish(figure, _title(tables), _caption(own, twins, summary), notes, room=22)
    return figure.update_layout(margin_r=190)


def _model(
    figure: go.Figure, place: int, row: Cell, look: Look, own: pd.DataFrame, twins: pd.DataFrame
) -> None:
    """A model's row: its marks and where its layer is, or why it was not measured."""
    if row["status"] != "ok":
        write(figure, place, "<b>not measured</b>")
        brief = textwrap.shorten(reason(row), 150, placeholder=" …")
        write(figure, place, wrap(brief, 78), inside=True)
        return
    for found, below in ((own, 0.0), (twins, _HOLLOW_BELOW)):
        mine = select(found, model=row["model"])
        y = [place + below] * len(mine)
        if len(mine):
            add_dots(figure, mine, y, look, "g", hollow=below > 0, size=11)
    where_it_is = f"layer {row['critical_layer']:.0f} of {row['n_layers']:.0f}"
    cell = {"estimate": row["g"], "low": row["g_low"], "high": row["g_high"]}
    write(figure, place, f"<b>{where_it_is} ({row['depth_percent']:.0f} %)</b><br>{effect(cell)}")


def _ends(own: pd.DataFrame, twins: pd.DataFrame, summary: pd.DataFrame) -> list[float]:
    """All models, and of the summaries as much as leaves the models readable."""
    low, high = padded_range(pd.concat([own, twins]), -0.5, 0.5)
    return padded_range(summary, low, high, within=(high - low) / 3)


def _keys(figure: go.Figure) -> None:
    for label, symbol in (("trained", "circle"), (f"hollow: {UNTRAINED}", "circle-open")):
        add_key(figure, label, symbol, "#555555", size=10, width=2)
    figure.update_layout(
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
    )


def _notes(
    table: pd.DataFrame,
    own: pd.DataFrame,
    twins: pd.DataFrame,
    summary: pd.DataFrame,
    ends: list[float],
) -> list[str]:
    failed = [row for row in records(table) if row["status"] != "ok"]
    notes = [f"not measured: {plain(row['model'])}: {reason(row)}" for row in failed]
    notes += missing_notes(own, "g", "model")
    notes += [f"{UNTRAINED}: {note}" for note in missing_notes(twins, "g", "model")]
    notes += missing_notes(summary, "summary", "quantity", WORDS.__getitem__)
    worded = summary.assign(name=[WORDS[name] for name in summary["quantity"].tolist()])
    return notes + beyond_notes(worded, ends, "name", "its ends are at the right")


def _title(tables: Mapping[str, pd.DataFrame]) -> str:
    answer = tables.get("verdict")
    if answer is None or answer.empty:
        own = select(tables["comparison"], status="ok")
        return f"Gap of log R_V at the own critical layer of {len(own)} models; no verdict is given"
    (row,) = records(answer)
    head = _ANSWERS.get(row["verdict"], f"Verdict: {row['verdict']}")
    return head if "gap_shown" not in row else f"{head}: {_shares(row)}"


def _shares(row: Cell) -> str:
    return (
        f"of {row['models']:.0f} models, {row['gap_shown']:.0f} show R_V {row['direction']} in "
        f"self-observing texts ({row['gap_excluded']:.0f} the opposite), and "
        f"in {row['depth_shown']:.0f} the layer is sure to lie near the median depth "
        f"({row['median_depth_percent']:.0f} %)"
    )


def _caption(own: pd.DataFrame, twins: pd.DataFrame, summary: pd.DataFrame) -> str:
    text = (
        "Hedges g of log R_V, self-observing minus plain texts, at the layer where the other half "
        f"of the prompts differs most, with 95 % BCa bootstrap interval over texts that the choice "
        f"did not see (n = {n_range(own)}); not corrected for the number of models. {share(own)} "
        "intervals exclude 0, on whichever side; the verdict counts only those on the side of the "
        "majority, and only where log PR of that layer alone, without R_V's early layer, agrees."
    )
    if len(twins):
        text += (
            " Hollow: the same architecture with random weights, at the layer that the same "
            f"search chooses there: what texts alone bring about ({share(twins)} exclude 0)."
        )
    if count(has_interval(summary)):
        text += (
            " Below: the mean with the models held fixed and shared prompts resampled; the "
            "random-effects mean (Hartung–Knapp interval); and where one more model like these "
            "would lie (prediction interval); the last two take the models' errors for "
            "independent. Models are no random sample, and those that share "
            "training texts agree for that reason too."
        )
    return text

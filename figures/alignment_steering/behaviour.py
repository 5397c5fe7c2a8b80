"""What a model does against λ: its vectors, random ones as long, and the instruct model."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.alignment_steering.notes import failed_notes
from figures.marks import add_key, bars, level_line, numbers
from figures.refusal.panels import Panels, panels, title_lines
from figures.rows import n_range, records, select, values_of
from figures.style import BLUE, GREEN, VERMILLION, Look, decimal, finish

ASIDE = {"mean": -0.012, "svd": 0.012}
"""Marks of two vectors stand apart, so that both intervals are seen."""
LOOKS = {"mean": Look("mean vector", BLUE), "svd": Look("svd vector", VERMILLION, "dash", "square")}
RANDOM, NONE, INSTRUCT = "random", "none", "instruct"
PALE = "#AAAAAA"


def behaviour(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Coherent refusals of harmful requests."""
    table = tables["conditions"]
    shown = _above(tables["effects"], "refusal")
    n = len(values_of(table, "model"))
    title = (
        "At full strength the mean vector raises coherent refusals over random vectors in "
        f"{shown} of {n} pairs"
    )
    caption = (
        "Share of harmful test requests with a coherent refusal, 95 % Wilson interval over "
        f"prompts (n = {_n(table, 'refusal')}), against λ (0: the base model); grey: each random "
        "vector, at every layer as long as the mean vector. Green line: the instruct model, the "
        "ceiling."
    )
    return _figure(tables, "refusal", title, caption, percent=True)


def compliance(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Sound answers to harmless requests: what steering breaks."""
    table = tables["conditions"]
    gone = select(tables["effects"], vector="mean", readout="compliance", quantity="change")
    worst = 100 * float(gone["estimate"].to_numpy(float).min())
    title = (
        f"The mean vector changes sound answers to harmless requests by {worst:.0f} points or more"
    )
    caption = (
        "Share of harmless test requests with an answer that is neither garbled nor a refusal "
        f"(n = {_n(table, 'compliance')}), against λ."
    )
    return _figure(tables, "compliance", title, caption, percent=True)


def preference(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Log-probability of chosen over rejected answers."""
    table = tables["conditions"]
    shown, n = _above(tables["effects"], "preference"), len(values_of(table, "model"))
    title = f"The preference for chosen answers rises over random vectors in {shown} of {n} pairs"
    caption = (
        "Mean log-probability a token of the chosen minus the rejected answer on test pairs (n = "
        f"{_n(table, 'preference')}), with 95 % BCa interval over prompts, against λ."
    )
    return _figure(tables, "preference", title, caption)


def neutral(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """What steering costs: how unlikely ordinary text becomes."""
    rows = select(tables["effects"], vector="mean", readout="nll", quantity="change")
    values = rows["estimate"].to_numpy(float)
    title = (
        f"Neutral text becomes less likely by {decimal(values.min(), 2)} to "
        f"{decimal(values.max(), 2)} nats a token under the mean vector at full strength"
    )
    caption = (
        "Mean negative log-likelihood a token of neutral text "
        f"(n = {_n(tables['conditions'], 'nll')}) against λ."
    )
    return _figure(tables, "nll", title, caption)


def separation(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """How far harmful and harmless requests lie apart behind the last block."""
    n = len(values_of(tables["conditions"], "model"))
    title = (
        "Harmful and harmless requests lie further apart than under random vectors in "
        f"{_above(tables['effects'], 'separation_last')} of {n} pairs"
    )
    caption = (
        "Mean silhouette width of the requests' last tokens in the last block, classes harmful and "
        f"harmless (n = {_n(tables['conditions'], 'separation_last')}), 95 % BCa interval over "
        "requests at the widths as they are, against λ. At the first steered block a constant "
        "vector cannot move it."
    )
    return _figure(tables, "separation_last", title, caption)


def _figure(
    tables: Mapping[str, pd.DataFrame],
    readout: str,
    title: str,
    caption: str,
    *,
    percent: bool = False,
) -> go.Figure:
    table = tables["conditions"]
    names = values_of(table, "model")
    place = panels([str(name) for name in names], 2, 190)
    scale = 100.0 if percent else 1.0
    for k, name in enumerate(names):
        row, col = place.at[k]
        mine = _scaled(select(table, model=name), readout, scale)
        level_line(place.figure, 0.0, row=row, col=col)
        _randoms(place, k, mine)
        for vector, look in LOOKS.items():
            rows = select(mine, vector=(vector, NONE)).sort_values("strength")
            if len(select(mine, vector=vector)):
                _line(place, k, rows, look, ASIDE[vector])
        for ceiling in records(select(mine, vector=INSTRUCT)):
            place.figure.add_hline(
                y=ceiling["estimate"],
                line={"color": GREEN, "width": 2, "dash": "dash"},
                row=row,  # type: ignore[arg-type]  # plotly's stub knows only "all"
                col=col,  # type: ignore[arg-type] # int or "all"
            )
        place.figure.update_xaxes(title_text="λ", row=row, col=col)
        if percent:
            place.figure.update_yaxes(range=[-4, 104], title_text="%", row=row, col=col)
    add_key(place.figure, "random vectors", "circle", PALE, size=5, mode="lines+markers")
    dashed = {"color": GREEN, "dash": "dash"}
    add_key(place.figure, "instruct model", "line-ew", GREEN, mode="lines", line=dashed)
    return finish(
        place.figure, title, caption, failed_notes(tables), room=title_lines(place.figure)
    )


def _scaled(table: pd.DataFrame, readout: str, scale: float) -> pd.DataFrame:
    ends = {"estimate": readout, "low": f"{readout}_low", "high": f"{readout}_high"}
    return table.assign(**{k: scale * table[column].astype(float) for k, column in ends.items()})


def _randoms(place: Panels, k: int, table: pd.DataFrame) -> None:
    row, col = place.at[k]
    for vector in values_of(table, "vector"):
        if str(vector).startswith(RANDOM):
            rows = select(table, vector=(vector, NONE)).sort_values("strength")
            place.figure.add_scatter(
                x=numbers(rows["strength"]),
                y=numbers(rows["estimate"]),
                mode="lines+markers",
                line={"color": PALE, "width": 1},
                marker={"size": 4, "color": PALE},
                name=str(vector),
                showlegend=False,
                row=row,
                col=col,
            )


def _line(place: Panels, k: int, rows: pd.DataFrame, look: Look, aside: float) -> None:
    row, col = place.at[k]
    place.figure.add_scatter(
        x=numbers(rows["strength"] + aside),
        y=numbers(rows["estimate"]),
        error_y=bars(rows, look.colour),
        mode="lines+markers",
        name=look.label,
        showlegend=k == 0,
        line={"color": look.colour, "dash": look.dash},
        marker={"symbol": look.symbol, "size": 6, "color": look.colour},
        row=row,
        col=col,
    )


def _above(effects: pd.DataFrame, readout: str) -> int:
    rows = select(effects, vector="mean", readout=readout, quantity="over_random")
    return int((rows["low"].to_numpy(float) > 0).sum())


def _n(table: pd.DataFrame, readout: str) -> str:
    return n_range(table.assign(n=table[f"{readout}_n"]))

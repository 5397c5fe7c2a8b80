"""Marks of the figure of sizes: a method over sizes, random directions behind, and their keys."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.marks import add_key, bars, numbers
from figures.refusal.controls import OWN, RANDOM, SAME, back
from figures.refusal.looks import in_percent, percent, rate
from figures.refusal.panels import Panels
from figures.rows import records
from figures.style import BLACK, Look, number, plain
from figures.words import Cell

_BAND = "rgba(140,140,140,0.25)"


def add_size_line(place: Panels, k: int, rows: pd.DataFrame, look: Look) -> None:
    """One method over all sizes, with what its random directions do behind it."""
    _random(place, k, rows)
    hover = [_hover(row, look) for row in records(rows)]
    cells = in_percent(rows, "coherent")
    shown = (
        ("unsteered", rate(rows, "unsteered"), Look("", BLACK, symbol="line-ew-open"), "markers"),
        ("garbled", rate(rows, "garbled"), _garbled(look), "lines+markers"),
        ("coherent", rate(rows, "coherent"), look, "lines+markers"),
    )
    for name, y, drawn, mode in shown:
        _line(place, k, rows, y, drawn, hover, mode=mode, name=f"{look.label}, {name}")
    place.figure.data[-1].update(error_y=bars(cells, look.colour, 1.8))


def _garbled(look: Look) -> Look:
    return Look("", look.faint(0.6), "dot", f"{look.symbol}-open")


def _line(
    place: Panels,
    k: int,
    rows: pd.DataFrame,
    y: pd.Series,
    look: Look,
    hover: list[str],
    **more: object,
) -> None:
    row, col = place.at[k]
    place.figure.add_scatter(
        x=numbers(rows["parameters"]),
        y=numbers(y),
        line={"color": look.colour, "dash": look.dash, "width": 1.8},
        marker={
            "symbol": look.symbol,
            "size": 9,
            "color": look.colour,
            "line": {"color": look.colour, "width": 1.8},
        },
        hovertext=hover,
        hoverinfo="text",
        showlegend=False,
        row=row,
        col=col,
        **more,
    )


def _random(place: Panels, k: int, rows: pd.DataFrame) -> None:
    """As long at the same place: a band from mean to best; at their own best: a cross."""
    row, col = place.at[k]
    ends = [rate(rows, f"{SAME}_{end}") for end in ("highest", "mean")]
    there = rows.assign(top=ends[0], foot=ends[1]).dropna(subset=["top", "foot"])
    x, top, foot = (there[name].tolist() for name in ("parameters", "top", "foot"))
    place.figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*top, *reversed(foot)],
        mode="lines",
        fill="toself",
        fillcolor=_BAND,
        line={"color": _BAND, "width": 3},
        name=RANDOM[SAME].label,
        showlegend=False,
        hoverinfo="skip",
        row=row,
        col=col,
    )
    highest, look = rate(rows, f"{OWN}_highest"), RANDOM[OWN]
    to_mean = back((highest - rate(rows, f"{OWN}_mean")).tolist(), look.colour)
    _line(place, k, rows, highest, look, [], mode="markers", name=look.label, error_y=to_mean)


def count_of(parameters: float) -> str:
    """`7.6 B`, `700 k`."""
    for unit, word in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit:
            return f"{number(parameters / unit, 2 if parameters < 100 * unit else 3)} {word}"
    return number(parameters)


def add_keys(figure: go.Figure, looks: Mapping[str, Look]) -> None:
    for look in looks.values():
        add_key(figure, f"{look.label}, coherent", look.symbol, look.colour, width=0)
    add_key(figure, "dotted, open:<br>garbled", "circle-open", "#555555")
    add_key(figure, f"{RANDOM[SAME].label}:<br>mean to best", "square", _BAND, size=14, width=0)
    add_key(figure, f"{RANDOM[OWN].label}<br>(line: to mean)", RANDOM[OWN].symbol, "#8C8C8C")
    add_key(figure, "unsteered", "line-ew-open", BLACK)


def _hover(row: Cell, look: Look) -> str:
    return (
        f"<b>{plain(row['model'])}, {look.label}</b>: {plain(row['verdict'])}<br>"
        f"{count_of(row['parameters'])} parameters, coherent refusals {percent(row['coherent'])} "
        f"[{percent(row.get('coherent_low'))}, {percent(row.get('coherent_high'))}], garbled "
        f"{percent(row['garbled'])}<br>n = {row['n']:.0f}"
    )

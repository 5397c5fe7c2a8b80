"""Coherent and garbled refusals while depth and dose are chosen: the search itself."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from figures.marks import log_axis, numbers
from figures.refusal.looks import OWN_RULE, at_depths, chosen, failed_notes, methods, percent, rate
from figures.refusal.panels import Panels, panels, title_lines
from figures.rows import absent, n_range, records, select, values_of, where
from figures.style import BLACK, GREY, SMALL, Look, finish, nothing, number, plain
from figures.words import Cell

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "star")
_NO_DOSE = "no dose is known as a share of the residual norm"


def dose_response(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a model and method, one line a depth, random directions behind them."""
    table = tables["conditions"]
    own = select(table, phase="search", depth=OWN_RULE)
    searched = pd.concat([at_depths(table, "search"), own.assign(share=float("nan"))])
    found = where(searched, searched["dose_residual"].astype(float) > 0)
    looks = methods(found)
    if not looks:
        return nothing("No figure “dose_response”", _NO_DOSE)
    cells = [(model, name) for model in values_of(found, "model") for name in looks]
    titles = [f"{model} · {looks[name].label}" for model, name in cells]
    place = panels(titles, max(len(looks), 1) if len(looks) < 4 else 3, 200, letters=44)
    depths = _depth_looks(found)
    for k, (model, name) in enumerate(cells):
        mine = select(found, model=model)
        _panel(place, k, mine, name, depths)
        _ring(place, k, select(mine, source=name), tables.get("verdicts"))
    _axes(place, found)
    _keys(place.figure, depths, found)
    title, notes = _title(found, looks), [*failed_notes(tables), *_lost(searched)]
    return finish(place.figure, title, _caption(found), notes, room=title_lines(place.figure))


def _depth_looks(table: pd.DataFrame) -> dict[str, Look]:
    """Dark to light with the depth; the method's own choice in black."""
    shares = sorted(float(s) for s in values_of(table, "share") if not absent(s))
    at = [k / max(len(shares) - 1, 1) * 0.82 for k in range(len(shares))]
    colours = sample_colorscale("Viridis", at, colortype="tuple") if at else []
    found = {
        f"{share:g}": Look(f"depth {number(100 * share)} %", _hex(rgb), symbol=symbol)
        for share, rgb, symbol in zip(shares, colours, _SYMBOLS * len(shares), strict=False)
    }
    return found | {OWN_RULE: Look("the method's own choice", BLACK, symbol="x")}


def _hex(rgb: Any) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def _panel(
    place: Panels, k: int, table: pd.DataFrame, method: str, depths: Mapping[str, Look]
) -> None:
    _random(place, k, table)
    mine = select(table, source=method)
    for name, look in depths.items():
        rows = where(mine, [_name(cell) == name for cell in records(mine)])
        for quality, dash in (("coherent", "solid"), ("garbled", "dot")):
            if len(rows):
                _line(place, k, rows.sort_values("dose_residual"), quality, dash, look)
    if mine.empty:
        _say(place, k, "not searched")


def _name(cell: Cell) -> str:
    return OWN_RULE if absent(cell["share"]) else f"{cell['share']:g}"


def _random(place: Panels, k: int, table: pd.DataFrame) -> None:
    """All random directions at all depths, as one trace with gaps."""
    rows = where(table, [str(source).startswith("random") for source in table["source"]])
    x: list[float | None] = []
    y: list[float | None] = []
    for _, line in rows.groupby(["source", "depth"], sort=False):
        line = line.sort_values("dose_residual")
        x += [*numbers(line["dose_residual"]), None]
        y += [*numbers(rate(line, "coherent")), None]
    row, col = place.at[k]
    place.figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        name="random directions",
        line={"color": "#BBBBBB", "width": 1},
        marker={"size": 3, "color": "#BBBBBB"},
        showlegend=False,
        hoverinfo="skip",
        row=row,
        col=col,
    )


def _line(place: Panels, k: int, rows: pd.DataFrame, quality: str, dash: str, look: Look) -> None:
    row, col = place.at[k]
    symbol = look.symbol if quality == "coherent" else f"{look.symbol}-open"
    place.figure.add_scatter(
        x=numbers(rows["dose_residual"]),
        y=numbers(rate(rows, quality)),
        mode="lines+markers",
        name=f"{look.label}, {quality}",
        line={"color": look.colour, "dash": dash, "width": 1.8},
        marker={"symbol": symbol, "size": 6, "color": look.colour},
        hovertext=[_hover(cell, look) for cell in records(rows)],
        hoverinfo="text",
        showlegend=False,
        row=row,
        col=col,
    )


def _hover(cell: Cell, look: Look) -> str:
    return (
        f"<b>{plain(cell['model'])}, {plain(str(cell['source']).upper())}</b>, {look.label}, "
        f"block {number(cell['layer'])}<br>dose {number(cell['dose_residual'])}: coherent "
        f"{percent(cell['coherent'])}, garbled {percent(cell['garbled'])}, n = {cell['n']:.0f}"
    )


def _ring(place: Panels, k: int, mine: pd.DataFrame, verdicts: pd.DataFrame | None) -> None:
    """Around the condition that was taken to the test requests."""
    hits = chosen(mine, verdicts)
    row, col = place.at[k]
    place.figure.add_scatter(
        x=numbers(hits["dose_residual"]),
        y=numbers(rate(hits, "coherent")),
        mode="markers",
        name="taken to the test",
        marker={"symbol": "circle-open", "size": 15, "color": BLACK, "line_width": 1.8},
        hoverinfo="skip",
        showlegend=False,
        row=row,
        col=col,
    )


def _say(place: Panels, k: int, text: str) -> None:
    row, col = place.at[k]
    place.figure.add_annotation(
        text=text, x=0.5, y=0.5, xref="x domain", yref="y domain", showarrow=False, row=row, col=col
    )


def _axes(place: Panels, table: pd.DataFrame) -> None:
    doses = table["dose_residual"].astype(float).tolist()
    axis = log_axis(min(doses) / 1.25, max(doses) * 1.25)
    place.figure.update_xaxes(**axis)
    place.figure.update_yaxes(range=[-4, 104], tickvals=[0, 20, 60, 100])
    last = {col: row for row, col in place.at}
    for row, col in place.at:
        if col == 1:
            place.figure.update_yaxes(title_text="of answers, %", row=row, col=col)
        if row == last[col]:
            words = "dose, share of the residual norm"
            place.figure.update_xaxes(title_text=words, row=row, col=col)


def _keys(figure: go.Figure, depths: Mapping[str, Look], table: pd.DataFrame) -> None:
    present = {_name(cell) for cell in records(table)}
    shown = [
        (look.label, look.colour, look.symbol, "solid")
        for name, look in depths.items()
        if name in present
    ]
    shown += [
        ("solid: coherent", GREY, "circle", "solid"),
        ("dotted: garbled", GREY, "circle-open", "dot"),
    ]
    if any(str(source).startswith("random") for source in values_of(table, "source")):
        shown.append(("random directions,<br>coherent, any depth", "#BBBBBB", "circle", "solid"))
    for label, colour, symbol, dash in shown:
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="lines+markers",
            name=label,
            line={"color": colour, "dash": dash, "width": 1.8},
            marker={"symbol": symbol, "size": 7, "color": colour},
        )
    figure.update_layout(legend_font_size=SMALL)


def _lost(searched: pd.DataFrame) -> list[str]:
    lost = where(searched, ~(searched["dose_residual"].astype(float) > 0))
    names = ", ".join(plain(name) for name in values_of(lost, "model"))
    return [f"{_NO_DOSE}, not drawn: {names}"] * bool(names)


def _title(table: pd.DataFrame, looks: Mapping[str, Look]) -> str:
    """Whether the search had to go as far as it could."""
    parts = []
    for method, look in looks.items():
        mine = select(table, source=method)
        best = [_best(select(mine, model=model)) for model in values_of(mine, "model")]
        any_ = [(row, largest) for row, largest in best if row["coherent"] > 0]
        below = sum(row["dose"] < largest for row, largest in any_)
        parts.append(f"{look.label} in {below} of the {len(any_)} models with any")
    return f"Coherent refusals are most frequent below the largest dose: {', '.join(parts)}"


def _best(rows: pd.DataFrame) -> tuple[Cell, float]:
    """A model's condition with the most coherent refusals, and the largest dose tried."""
    cells = records(rows)
    best = max(cells, key=lambda row: (row["coherent"], -row["dose"]))
    return best, max(row["dose"] for row in cells)


def _caption(table: pd.DataFrame) -> str:
    return (
        "Validation requests (benign, short answers), on which depth and dose are chosen: share of "
        f"coherent (solid) and garbled refusals (dotted) against dose, n = {n_range(table)} a "
        "point and therefore rough; no interval is drawn, and the highest of many points is high "
        "by selection. Grey: coherent refusals of every random direction at every depth. What is "
        "reported is measured anew on test requests. One dose is the length of what is added as a "
        "share of the residual stream's mean norm at that block."
    )

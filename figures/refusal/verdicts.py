"""Which method makes which model refuse, beside what random directions do."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.dots import upright
from figures.marks import bars, numbers
from figures.refusal.looks import (
    PARTIAL,
    WORKS,
    failed,
    failed_notes,
    in_percent,
    methods,
    own_rule_notes,
    percent,
    rate,
)
from figures.rows import absent, n_range, records, select, values_of
from figures.style import BLACK, GREY, LIGHT, Look, finish, grid, plain, wrap
from figures.words import Cell

_CONTROLS = {
    "unsteered": Look("unsteered", BLACK, symbol="line-ns-open"),
    "random_highest": Look("best random direction", GREY, symbol="x-thin-open"),
    "shuffled": Look("shuffled labels", GREY, symbol="triangle-down-open"),
}
_BELOW = 0.24
"""Controls hang below the mark of their method, garbled shares with them."""
_LINE = 42

Places = Mapping[tuple[str, str], float]


def verdicts(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Coherent refusals on test prompts, one line a model and method."""
    table = select(tables["verdicts"], choice="best depth on validation")
    looks, lost = methods(table, "method"), failed(tables)
    models = [*dict.fromkeys([*map(str, values_of(table, "model")), *lost])]
    places = _places(models, list(looks), lost)
    figure = grid(height=150 + round(_LINE * (max(places.values()) + 1)))
    for level in (PARTIAL, WORKS):
        upright(figure, level, dash="dash")
    for method, look in looks.items():
        _method(figure, select(table, method=method), places, look)
    _controls(figure, table, places)
    for model, why in lost.items():
        brief = textwrap.shorten(why, 120, placeholder=" …")
        _write(figure, places[model, ""], wrap(f"not measured: {plain(brief)}", 74), x=0.01)
    _axes(figure, models, places)
    _keys(figure)
    notes = [*failed_notes(tables), *own_rule_notes(tables), *_unknown(table)]
    finish(figure, _title(table, len(lost)), _caption(table), notes, room=36)
    return figure.update_layout(margin_r=205)


def _places(models: Sequence[str], names: Sequence[str], lost: Mapping[str, str]) -> Places:
    """Heights of the lines, from 0 downwards; models stand apart."""
    found: dict[tuple[str, str], float] = {}
    y = 0.0
    for model in models:
        for name in [""] if model in lost else names:
            found[model, name] = y
            y += 1
        y += 0.4
    return found


def _method(figure: go.Figure, rows: pd.DataFrame, places: Places, look: Look) -> None:
    cells = in_percent(rows, "coherent")
    y = [places[str(row["model"]), row["method"]] for row in records(rows)]
    _marks(figure, cells["estimate"], y, look, rows, error_x=bars(cells, look.colour, 1.8))
    garbled = Look(f"{look.label}, garbled", look.faint(0.6), symbol=f"{look.symbol}-open")
    below = [place + _BELOW for place in y]
    _marks(figure, rate(rows, "garbled"), below, garbled, rows, size=8, showlegend=False)
    for place, row in zip(y, records(rows), strict=True):
        _write(figure, place, _verdict(row, look))


def _controls(figure: go.Figure, table: pd.DataFrame, places: Places) -> None:
    """Where the models stand without any direction, or with one that means nothing."""
    y = [places[str(row["model"]), row["method"]] + _BELOW for row in records(table)]
    for name, look in _CONTROLS.items():
        values = rate(table, name)
        if values.notna().any():
            _marks(figure, values, y, look, table, size=9)


def _marks(
    figure: go.Figure,
    x: Any,
    y: Sequence[float],
    look: Look,
    rows: pd.DataFrame,
    *,
    size: int = 11,
    **more: Any,
) -> None:
    figure.add_scatter(
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
        hovertext=[_hover(row) for row in records(rows)],
        hoverinfo="text",
        cliponaxis=False,
        **more,
    )


def _hover(row: Cell) -> str:
    lines = [
        f"<b>{plain(row['model'])}, {plain(str(row['method']).upper())}</b>: "
        f"{plain(row['verdict'])}",
        f"coherent refusals {percent(row['coherent'])} [{percent(row.get('coherent_low'))}, "
        f"{percent(row.get('coherent_high'))}], garbled {percent(row['garbled'])}",
        f"unsteered {percent(row.get('unsteered'))}, best random direction "
        f"{percent(row.get('random_highest'))}, shuffled labels {percent(row.get('shuffled'))}",
    ]
    return "<br>".join([*lines, _where(row), f"n = {row['n']:.0f}"])


def _where(row: Cell) -> str:
    if absent(row.get("layer")):
        return "place unknown"
    dose = row.get("dose_residual")
    share = "" if absent(dose) else f", dose {dose:.3g}"
    return f"block {row['layer']:.0f} ({row['depth_percent']:.0f} %){share}"


def _verdict(row: Cell, look: Look) -> str:
    sure = "" if absent(row.get("uncertain")) or not row["uncertain"] else " (uncertain)"
    return f"{look.label}: <b>{plain(row['verdict'])}</b>{sure}<br>{_where(row)}"


def _write(figure: go.Figure, y: float, text: str, x: float = 1.02) -> None:
    figure.add_annotation(
        text=text, x=x, xref="paper", y=y, xanchor="left", align="left", showarrow=False
    )


def _axes(figure: go.Figure, models: Sequence[str], places: Places) -> None:
    lines = [[y for (name, _), y in places.items() if name == model] for model in models]
    for before in lines[:-1]:
        figure.add_hline(y=before[-1] + 0.7, line={"color": LIGHT, "width": 1.5})
    figure.update_yaxes(
        tickvals=[sum(ys) / len(ys) for ys in lines],
        ticktext=[wrap(plain(model), 26) for model in models],
        range=[max(places.values()) + 0.7, -0.7],
        showgrid=False,
        tickfont_size=13,
    )
    figure.update_xaxes(range=[-1, 101], title_text="benign test requests refused, %")


def _keys(figure: go.Figure) -> None:
    """One key for what is garbled; keys in two lines."""
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        name="open, lighter: garbled",
        marker={"symbol": "circle-open", "size": 8, "color": "#555555", "line_width": 1.4},
    )
    above = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"}
    thirds = {"entrywidth": 0.33, "entrywidthmode": "fraction"}
    figure.update_layout(legend={"orientation": "h", **above, **thirds})


def _unknown(table: pd.DataFrame) -> list[str]:
    """Controls that were not measured."""
    lacking = [look.label for name, look in _CONTROLS.items() if rate(table, name).isna().any()]
    return [f"not measured in every model: {', '.join(lacking)}"] * bool(lacking)


def _title(table: pd.DataFrame, n_lost: int) -> str:
    parts = []
    for method, look in methods(table, "method").items():
        rows = select(table, method=method)
        parts.append((look.label, len(select(rows, verdict="works")), len(rows)))
    (name, works, n), *others = parts
    text = f"{name} makes {works} of {n} models refuse at least {WORKS} % of benign requests"
    text += "".join(f", {name} {works} of {n}" for name, works, n in others)
    text += f" ({n_lost} not measured)" if n_lost else ""
    highest = rate(table, "random_highest").max()
    if absent(highest):
        return f"{text}; no random direction was tried beside them"
    return f"{text}; after the same search a random direction reaches at most {highest:.0f} %"


def _caption(table: pd.DataFrame) -> str:
    return (
        "Filled: share of benign test requests that get a coherent refusal, with 95 % Wilson "
        f"interval over unique prompts (n = {n_range(table)}), not corrected for the number of "
        "models. Depth and dose (length of what is added, as a share of the residual stream's norm there) were chosen on other prompts. Lighter and open: garbled refusals. "
        "Grey: the best of the random directions and the direction from shuffled labels, each at "
        "the depth and dose that are best for it on the same other prompts; black stroke: the "
        "model as it is. Dashed lines: from 60 % a method works, from 20 % partly; with 40 % or "
        "more garbled it is a breakdown; uncertain where the interval holds a threshold. That a "
        "direction can make a model refuse does not show that the model decides by it."
    )

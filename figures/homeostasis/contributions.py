"""Which component brings the geometry back: what changes when it is held still."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.homeostasis.looks import COMPONENTS, MARGIN, margin_band
from figures.marks import NO_INTERVAL, add_key, add_line, layer_axis, level_line
from figures.rows import at_last_layer, has_interval, layers_of, n_range, records, select, values_of
from figures.style import GREY, Look, decimal, finish, grid, plain
from figures.words import missing_notes

_ALPHA = 0.05


def contributions(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Contribution to recovery by layer, one panel a component, from both sides."""
    table = select(tables["mechanisms"], analysis="contribution")
    names = values_of(table, "component")
    rows = max(1, -(-len(names) // 2))
    figure = grid(
        rows,
        2,
        [_name(name) for name in names],
        height=130 + 260 * rows,
        shared_y="all",
        gaps=(0.05, 0.22 if rows > 1 else 0),
    )
    for place, name in enumerate(names):
        where: dict[str, Any] = {"row": 1 + place // 2, "col": 1 + place % 2}
        margin_band(figure, **where)
        level_line(figure, 0, **where)
        _sides(figure, select(table, component=name), name, where)
        layer_axis(figure, table, **where, most=8)
    figure.update_yaxes(title_text="contribution to recovery", col=1)
    _keys(figure, lacking=bool((table["estimate"].notna() & ~has_interval(table)).any()))
    caption = (
        "Frozen side: recovery of the patch minus recovery with the component held still. "
        "Released side: recovery with only that component answering minus passive recovery. The "
        "two need not agree or add up. Bars: 95 % BCa bootstrap intervals over pairs "
        f"(n = {n_range(table)}), not corrected for the number of marks; shaded: ±{MARGIN}. "
        "Above 0 the component brings R_V back, below 0 it keeps the change alive."
    )
    notes = missing_notes(table, "contribution", "component", _name)
    return finish(figure, _title(table), caption, notes)


def _name(component: str) -> str:
    return COMPONENTS[component][0] if component in COMPONENTS else plain(component)


def _sides(figure: go.Figure, table: pd.DataFrame, name: str, where: dict[str, Any]) -> None:
    colour = COMPONENTS[name][1].colour if name in COMPONENTS else GREY
    for side, offset in (("frozen", -0.1), ("released", 0.1)):
        add_line(
            figure,
            select(table, side=side),
            Look(f"{_name(name)}, {side} side", colour),
            "contribution",
            **where,
            offset=offset,
            legend=False,
            lines=False,
            hollow=side == "released",
        )


def _keys(figure: go.Figure, *, lacking: bool) -> None:
    """Keys in grey: colour tells the component, filling the side."""
    keys = {"frozen side": "circle", "released side": "circle-open"}
    if lacking:
        keys["no interval<br>(see below)"] = f"circle{NO_INTERVAL}"
    for label, symbol in keys.items():
        add_key(figure, label, symbol, "#555555")


def _title(table: pd.DataFrame) -> str:
    layers = layers_of(table)
    if not layers:
        return "Contributions of the components: none was measured"
    clear = [r for r in records(at_last_layer(table)) if r["p_adjusted"] < _ALPHA]
    if not clear:
        return (
            f"At layer {layers[-1]} no component's contribution is distinguishable from none, "
            "after correction over components and layers"
        )
    parts = [f"{_name(r['component'])} ({r['side']}) {decimal(r['estimate'], 2)}" for r in clear]
    clear_ones = ", ".join(parts)
    return f"Contributions at layer {layers[-1]} that hold up after correction: {clear_ones}"

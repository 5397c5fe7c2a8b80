"""Scores of every candidate direction, and which one each method's own rule takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from figures.marks import numbers
from figures.refusal.looks import OWN_RULE, failed_notes, methods, own_rule_notes, span
from figures.refusal.panels import Panels, panels, say, title_lines
from figures.rows import absent, records, select, values_of
from figures.style import Look, finish, nothing, plain


@dataclass(frozen=True)
class _Score:
    words: str
    columns: tuple[str, ...]
    """The score is their sum."""
    scale: str
    """Bright is better."""


_SCORES = {
    "dim": _Score("log-odds of refusal with the candidate removed", ("bypass",), "Cividis_r"),
    "cosmic": _Score("sum of both cosines, S_comply + S_refuse", ("comply", "refuse"), "Cividis"),
}


def selection_map(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Layer × position, one panel a model and method."""
    table = select(tables["selection"], method=tuple(_SCORES))
    looks = methods(table, "method")
    if not looks:
        return nothing("No figure “selection_map”", "no method of the table has a known score")
    cells = [(model, name) for model in values_of(table, "model") for name in looks]
    titles = [f"{model} · {looks[name].label}" for model, name in cells]
    place = panels(titles, len(looks), 120, across=0.2, letters=46)
    chosen = _chosen(tables.get("directions"))
    for k, (model, name) in enumerate(cells):
        _map(place, k, select(table, model=model, method=name), _SCORES[name])
        _ring(place, k, select(chosen, model=model, source=name))
    _axes(place)
    notes = ["bright is better; every panel has its own scale; ringed: what the own rule takes"]
    figure, notes = place.figure, notes + failed_notes(tables) + own_rule_notes(tables)
    finish(figure, _title(chosen, looks), _caption(looks), notes, room=title_lines(figure))
    return figure.update_layout(margin_r=90, showlegend=False)


def _chosen(directions: pd.DataFrame | None) -> pd.DataFrame:
    """The candidates that the methods' own rules took."""
    columns = ["model", "source", "depth", "layer", "position", "depth_percent"]
    if directions is None or directions.empty:
        return pd.DataFrame(columns=columns)
    return select(directions, depth=OWN_RULE)


def _map(place: Panels, k: int, rows: pd.DataFrame, score: _Score) -> None:
    if rows.empty:
        return
    value = rows[list(score.columns)].astype(float).sum(axis=1, skipna=False)
    layers, positions = (sorted(map(int, values_of(rows, c))) for c in ("layer", "position"))
    z = np.full((len(positions), len(layers)), np.nan)
    for cell, found in zip(records(rows), value.tolist(), strict=True):
        z[positions.index(int(cell["position"])), layers.index(int(cell["layer"]))] = found
    row, col = place.at[k]
    _ticks(place, k, layers, positions)
    if not np.isfinite(z).any():
        say(place, k, "no candidate has a score")
        return
    place.figure.add_heatmap(
        x=layers,
        y=positions,
        z=[numbers(line) for line in z],
        colorscale=score.scale,
        colorbar=_bar(place, k),
        hovertemplate=f"layer %{{x}}, position %{{y}}<br>{score.words}: %{{z:.3g}}<extra></extra>",
        row=row,
        col=col,
    )


def _ticks(place: Panels, k: int, layers: list[int], positions: list[int]) -> None:
    row, col = place.at[k]
    ends = {"range": [layers[0] - 0.5, layers[-1] + 0.5], "tickformat": "d", "showgrid": False}
    place.figure.update_xaxes(row=row, col=col, **ends)
    ends = {"range": [positions[0] - 0.5, positions[-1] + 0.5], "showgrid": False}
    place.figure.update_yaxes(row=row, col=col, tickvals=positions, **ends)


def _bar(place: Panels, k: int) -> dict[str, object]:
    """A scale of its own beside each panel: only candidates of one model compete."""
    panel: Any = place.figure.get_subplot(*place.at[k])
    (low, high), right = panel.yaxis.domain, panel.xaxis.domain[1]
    middle = {"y": (low + high) / 2, "yanchor": "middle", "len": high - low, "lenmode": "fraction"}
    return {"x": right + 0.005, "thickness": 11, "nticks": 4, "tickfont_size": 12} | middle


def _ring(place: Panels, k: int, rows: pd.DataFrame) -> None:
    """White below black, to be seen on every colour."""
    row, col = place.at[k]
    for colour, width in (("#FFFFFF", 6.0), ("#D55E00", 2.6)):
        place.figure.add_scatter(
            x=numbers(rows["layer"]),
            y=numbers(rows["position"]),
            mode="markers",
            name="chosen",
            marker={"symbol": "circle-open", "size": 17, "color": colour, "line_width": width},
            hoverinfo="skip",
            row=row,
            col=col,
        )


def _axes(place: Panels) -> None:
    last = {col: row for row, col in place.at}
    for row, col in place.at:
        if col == 1:
            place.figure.update_yaxes(title_text="position", row=row, col=col)
        if row == last[col]:
            place.figure.update_xaxes(title_text="layer (block)", row=row, col=col)


def _title(chosen: pd.DataFrame, looks: Mapping[str, Look]) -> str:
    parts = []
    for method, look in looks.items():
        rows = select(chosen, source=method)
        at = sorted(float(d) / 100 for d in rows["depth_percent"].tolist() if not absent(d))
        where = f"at {span(at)} of the depth in {len(rows)} models" if at else "in no model"
        parts.append(f"{look.label} {where}")
    return f"By their own rules, methods take a direction: {', '.join(parts)}"


def _caption(looks: Mapping[str, Look]) -> str:
    scores = "; ".join(f"{looks[name].label}: {_SCORES[name].words}" for name in looks)
    return (
        f"Scores of candidate directions by layer and position (−1 is the last token of the "
        f"prompt), on validation prompts; no intervals. {plain(scores)}. Bright is better: for DIM "
        "low, for COSMIC high. Every panel has its own scale, since only candidates of one model "
        "compete. Ringed: what the method's own rule takes among all layers; brighter candidates "
        "beside it were filtered out (too deep, they induce no refusal, or removing them changes "
        "harmless answers). White: undefined. A good score is no refusal yet: see the verdicts."
    )

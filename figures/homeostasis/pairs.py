"""Every pair of texts: how far R_V moves at the patch, and at the last layer."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.homeostasis.looks import LOOKS
from figures.marks import log_axis
from figures.rows import records
from figures.style import BLUE, GREY, finish, grid, nothing, number, plain
from figures.words import Cell


def pairs(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One point a pair: the change at the last layer against that at the patch, log–log."""
    rows = records(tables["pairs"])
    found = (re.fullmatch(r"delta_log_r_v_L(\d+)", str(c)) for c in tables["pairs"])
    layers = sorted(int(match[1]) for match in found if match)
    if len(layers) < 2:
        return nothing("No figure “pairs”", "pairs.csv has no change at two layers")
    first, last = f"delta_log_r_v_L{layers[0]}", f"delta_log_r_v_L{layers[-1]}"
    known = [row for row in rows if not (pd.isna(row[first]) or pd.isna(row[last]))]
    drawn = [row for row in known if row[first] and row[last]]
    figure = grid(height=640)
    sizes = [abs(row[column]) for row in drawn for column in (first, last)] or [0.1, 1.0]
    ends = [min(sizes) / 1.4, max(sizes) * 1.4]
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1.5},
        name="no recovery: moved as far<br>as at the patch",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[abs(row[first]) for row in drawn],
        y=[abs(row[last]) for row in drawn],
        mode="markers",
        name=LOOKS["patched"].label,
        marker={"color": BLUE, "size": 7, "opacity": 0.65, "line_width": 0},
        hovertext=[_hover(row, layers) for row in drawn],
        hoverinfo="text",
    )
    # The same decades on both axes, so that the diagonal is one.
    axis: dict[str, Any] = log_axis(*ends) | {"constrain": "domain"}
    figure.update_xaxes(title_text=f"|Δ log R_V| at the patch, layer {layers[0]}", **axis)
    figure.update_yaxes(title_text=f"|Δ log R_V| at layer {layers[-1]}", scaleanchor="x", **axis)
    smaller = sum(abs(row[last]) < abs(row[first]) for row in known)
    title = (
        f"In {smaller} of {len(known)} pairs R_V is moved less at layer {layers[-1]} than at "
        "the patch"
    )
    caption = (
        f"Each point is one of {len(drawn)} pairs of a self-observing and a plain text, patched; "
        "below the dashed line the change has shrunk. No interval: every pair is shown. Much of "
        "the shrinking happens with no later block answering (see “passive” under recovery), "
        "and a pair that hardly changed at the patch can fall on either side by chance."
    )
    return finish(figure, title, caption, _notes(len(rows), len(known), len(drawn)))


def _notes(n_rows: int, n_known: int, n_drawn: int) -> list[str]:
    undefined, zero = n_rows - n_known, n_known - n_drawn
    notes = [f"{undefined} of {n_rows} pairs have no value and are not drawn"] * bool(undefined)
    return notes + [f"{zero} pairs with a change of exactly 0 lie off a log axis"] * bool(zero)


def _hover(row: Cell, layers: list[int]) -> str:
    changes = "<br>".join(
        f"Δ log R_V at layer {layer}: {number(row[f'delta_log_r_v_L{layer}'])}"
        for layer in (layers[0], layers[-1])
    )
    return f"<b>{plain(row['target_id'])} ← {plain(row['donor_id'])}</b><br>{changes}"

"""R_V of the unpatched texts over the whole depth of the model."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.marks import add_line, layer_axis
from figures.means import means_by_layer
from figures.rows import absent, count, layers_of, n_range, records, select, values_of, without
from figures.style import BLACK, GREY, SMALL, VERMILLION, Look, finish, grid, number, plain
from figures.words import missing_notes

_KINDS = {
    "recursive": Look("self-observing texts", VERMILLION, width=2.2),
    "plain": Look("plain texts", BLACK, symbol="square", width=2.2),
}


def profile(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Mean R_V by depth for both kinds of text, with the early and the patched layer marked."""
    table = tables["profile"]
    early, patch = _early(table), _patch(tables.get("recovery"))
    figure = grid(height=460)
    parts = []
    for kind in values_of(table, "kind"):
        means = means_by_layer(select(table, kind=kind), "r_v")
        parts.append(means.assign(kind=kind))
        kind_look = _KINDS.get(kind, Look(plain(kind), GREY))
        add_line(figure, means, kind_look, "mean R_V", band=True)
    means = pd.concat(parts)
    layer_axis(figure, table, most=12)
    _mark(figure, early, "early layer:<br>1 by definition")
    _mark(figure, patch, "patched<br>layer")
    figure.update_yaxes(title_text="R_V = PR(values) / PR(values, early)", rangemode="tozero")
    caption = (
        "R_V of the texts as they are, nothing patched: mean with 95 % t interval over texts "
        f"(n = {n_range(means)} of each kind), not corrected for the number of layers. Bands that "
        "overlap do not show that the kinds are equal; bands that part may do so for wording "
        "rather than self-observation, which only the patching controls can tell."
    )
    notes = missing_notes(without(means, "layer", early), "R_V", "kind")
    if patch is None:
        notes.append("the patched layer is not marked: recovery.csv does not name it")
    if lost := count(means["left_out"]):
        notes.append(f"{lost} undefined values are left out of the means; n is on each mark")
    return finish(figure, _title(means, patch), caption, notes)


def _mark(figure: go.Figure, layer: int | None, words: str) -> None:
    if layer is None:
        return
    figure.add_vline(x=layer, line={"color": GREY, "dash": "dot", "width": 1.4}, layer="below")
    figure.add_annotation(
        x=layer,
        y=1,
        yref="paper",
        text=words,
        showarrow=False,
        yanchor="bottom",
        font_size=SMALL,
    )


def _early(table: pd.DataFrame) -> int | None:
    """The layer that R_V is divided by: the one at which it is 1 for every text."""
    for layer in layers_of(table):
        if all(abs(value - 1) < 1e-9 for value in values_of(select(table, layer=layer), "r_v")):
            return layer
    return None


def _patch(recovery: pd.DataFrame | None) -> int | None:
    if recovery is None or recovery.empty:
        return None
    layers = layers_of(select(recovery, definitional=True))
    return layers[0] if layers else None


def _title(means: pd.DataFrame, patch: int | None) -> str:
    at = {row["kind"]: row["estimate"] for row in records(select(means, layer=patch))}
    if absent(at.get("recursive")) or absent(at.get("plain")):
        return "R_V of self-observing and plain texts by depth, nothing patched"
    return (
        f"R_V with nothing patched, at layer {patch}: {number(at['recursive'])} in "
        f"self-observing texts, {number(at['plain'])} in plain ones"
    )

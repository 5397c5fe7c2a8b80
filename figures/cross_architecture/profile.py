"""The gap between the kinds of text over the whole depth of every model."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.curves import ALPHA, band, line, twins
from figures.cross_architecture.dots import upright
from figures.cross_architecture.looks import (
    UNTRAINED,
    fixed_depth,
    is_twin,
    looks,
    named,
    trained,
)
from figures.marks import add_key, level_line
from figures.rows import n_range, records, select, values_of, where
from figures.style import GREY, SMALL, finish, grid, number
from figures.words import missing_notes

_BANDS_UP_TO = 2
"""With more models than this, bands would hide each other."""


def depth_profile(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Hedges g against depth, one line a model; filled where it survives the search of layers."""
    table = tables["layers"]
    found, own = select(table, definitional=False), trained(table)
    models = values_of(own, "model")
    figure = grid(height=520)
    level_line(figure, 0)
    twins(figure, where(table, is_twin(table)))
    for model in models:
        rows, look = select(own, model=model).sort_values("layer"), looks(tables)[model]
        if len(models) <= _BANDS_UP_TO:
            band(figure, select(rows, definitional=False), look)
        line(figure, rows, look)
    _filling(figure)
    _mark_fixed(figure, fixed_depth(tables))
    figure.update_xaxes(title_text="depth of the layer, % of all layers", range=[-2, 102])
    figure.update_yaxes(title_text="Hedges g of log R_V (self-observing − plain)")
    return finish(figure, _title(found), _caption(own, len(models)), _notes(table))


def _filling(figure: go.Figure) -> None:
    for label, symbol in (
        ("p ≤ 0.05 (max-T)", "circle"),
        ("p > 0.05, or<br>not searched", "circle-open"),
    ):
        add_key(figure, label, symbol, GREY, size=8, width=1.4, legendrank=2001)


def _mark_fixed(figure: go.Figure, depth: float | None) -> None:
    if depth is None:
        return
    upright(figure, depth, dash="dash")
    figure.add_annotation(
        text=f"fixed depth<br>{number(depth)} %",
        x=depth,
        y=1,
        yref="paper",
        yanchor="bottom",
        showarrow=False,
        font_size=SMALL,
    )


def _hits(table: pd.DataFrame) -> tuple[int, int]:
    """Models with a layer that survives the search, of all models."""
    models = values_of(table, "model")
    best = [select(table, model=model)["p_all_layers"].min() for model in models]
    return sum(bool(p <= ALPHA) for p in best), len(models)


def _title(table: pd.DataFrame) -> str:
    own = trained(table)
    hits, n = _hits(own)
    known = own.dropna(subset=["estimate", "p_all_layers"])
    text = f"The kinds of text differ in R_V at some depth in {hits} of {n} models"
    if len(known):
        strongest = [
            row["depth_percent"]
            for row in records(known.loc[known["estimate"].abs().groupby(known["model"]).idxmax()])
        ]
        ends = [f"{end:.0f} %" for end in (min(strongest), max(strongest))]
        text += f", most at {' to '.join(dict.fromkeys(ends))} of their depth"
    hits, n = _hits(where(table, is_twin(table)))
    return f"{text}; with {UNTRAINED}, in {hits} of {n}" if n else text


def _caption(own: pd.DataFrame, n_models: int) -> str:
    intervals = (
        "bands: 95 % BCa bootstrap intervals over texts, layer by layer"
        if n_models <= _BANDS_UP_TO
        else "95 % BCa bootstrap intervals over texts are shown on pointing at a mark and are in "
        "layers.csv"
    )
    return (
        "Hedges g of log R_V, self-observing minus plain texts, at every layer, on the half of the "
        f"prompts that chose no layer (n = {n_range(own)} texts); {intervals}. Filled: p ≤ 0.05 "
        "by permutation of the kinds, corrected for the search over the layers behind the early "
        "one (max-T), not for the number of models; layers before it are not searched. Models "
        "read the same texts, so their lines move together for that reason too."
    )


def _notes(table: pd.DataFrame) -> list[str]:
    early = select(table, definitional=True)
    layers = sorted(f"{number(depth)} %" for depth in values_of(early, "depth_percent"))
    notes = [f"no g at the early layer ({', '.join(layers)}): log R_V is 0 there by definition"]
    rest = select(trained(table), definitional=False)
    return notes * bool(layers) + missing_notes(rest, "g", "model", named)

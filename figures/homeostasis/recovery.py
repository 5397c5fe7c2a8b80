"""How much of the patch's change is gone at each later layer."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.homeostasis.looks import MARGIN, look, margin_band
from figures.marks import add_line, beyond_notes, layer_axis, level_line, padded_range
from figures.rows import at_last_layer, layers_of, n_range, records, select, values_of
from figures.style import BLACK, SMALL, finish, grid, number
from figures.words import missing_notes

_CONDITIONS = (
    "patched",
    "passive",
    "freeze_mlp",
    "freeze_attention",
    "freeze_pattern",
    "freeze_norm",
)
_BANDS = ("patched", "passive")
_WIDEST = 2.0
"""Recovery is drawn within ± this much of the range 0 to 1 that it is about."""


def recovery(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Recovery of R_V by layer, and what of it exceeds passive recovery, on a scale of its own."""
    every = select(tables["recovery"], readout="r_v", condition=_CONDITIONS)
    table = select(every, definitional=False)
    recovered = select(table, quantity="recovery")
    excess = select(table, quantity="excess_recovery")
    titles = ["Recovery", "Beyond passive recovery (own scale)"]
    figure = grid(1, 2, titles, height=520, gaps=(0.11, 0.1))
    for level in (0, 1):
        level_line(figure, level)
    margin_band(figure, row=1, col=2)
    level_line(figure, 0, col=2)
    _lines(figure, recovered, "recovery", col=1)
    _lines(figure, excess, "recovery beyond passive", col=2)
    for col in (1, 2):
        layer_axis(figure, every, col=col, most=6)
    _definition(figure, layers_of(select(every, definitional=True)))
    ends = padded_range(recovered, 0, 1, within=_WIDEST)
    figure.update_yaxes(range=ends, title_text="recovery (0: as at the patch, 1: all back)", col=1)
    ends_beyond = padded_range(excess, -MARGIN, MARGIN, within=_WIDEST)
    figure.update_yaxes(range=ends_beyond, col=2)
    caption = (
        "Left: share of the patch's change of log R_V that is gone at each later layer, "
        "1 − Σ|Δ(layer)| / Σ|Δ(patch)| over pairs; below 0 the change has grown. Right: the same "
        "minus “passive”, which is what is gone when no later block answers; only "
        f"this can be called compensation (shaded: within ±{MARGIN}). Bands and bars: 95 % BCa "
        f"bootstrap intervals over pairs (n = {n_range(table)}), not corrected for the number of "
        "layers."
    )
    notes = missing_notes(recovered, "recovery")
    notes += beyond_notes(recovered, ends, "condition", "its ends are in recovery.csv")
    right = missing_notes(excess, "excess")
    right += beyond_notes(excess, ends_beyond, "condition", "its ends are in recovery.csv")
    notes += [f"right: {note}" for note in right]
    return finish(figure, _title(recovered), caption, notes)


def _lines(figure: go.Figure, table: pd.DataFrame, quantity: str, *, col: int) -> None:
    present = [c for c in _CONDITIONS if c in values_of(table, "condition")]
    for place, condition in enumerate(present):
        banded = condition in _BANDS
        add_line(
            figure,
            select(table, condition=condition),
            look(condition),
            quantity,
            col=col,
            band=banded,
            offset=0 if banded else (place - (len(present) + 1) / 2) * 0.12,
            legend=col == 1,
        )


def _definition(figure: go.Figure, layers: list[int]) -> None:
    """The patch layer itself: 0 because of how recovery is defined, whatever the model does."""
    figure.add_scatter(
        x=layers,
        y=[0.0] * len(layers),
        mode="markers+text",
        text=["0 by definition"] * len(layers),
        textposition="bottom right",
        textfont={"size": SMALL, "color": "#555555"},
        marker={"symbol": "circle-open", "size": 10, "color": BLACK, "line_width": 1.6},
        name="0 by definition",
        showlegend=False,
        cliponaxis=False,
        hovertext=["The change is compared with itself here: no finding."] * len(layers),
        hoverinfo="text",
        row=1,
        col=1,
    )


def _title(table: pd.DataFrame) -> str:
    known = table.dropna(subset=["estimate"])
    last = {row["condition"]: row["estimate"] for row in records(at_last_layer(known))}
    parts = [
        f"{number(100 * last[condition], 2)} % {words}"
        for condition, words in (("patched", "as it is"), ("passive", "when nothing answers"))
        if condition in last
    ]
    if not parts:
        return "Recovery of R_V behind the patch: no value at the last layer"
    return f"Share of the change of R_V gone at layer {layers_of(known)[-1]}: {', '.join(parts)}"

"""How much of the patch's change is gone at each later layer."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.homeostasis.looks import look
from figures.marks import add_line, layer_axis, level_line, padded_range
from figures.rows import at_last_layer, layers_of, n_range, records, select, values_of
from figures.style import BLACK, SMALL, finish, grid, number
from figures.words import missing_notes

_PANELS = (
    ("By itself, and when nothing answers", ("patched", "passive")),
    (
        "With one component held still",
        ("patched", "freeze_mlp", "freeze_attention", "freeze_pattern", "freeze_norm"),
    ),
)
_BANDS = ("patched", "passive")
_WIDEST = 2.0
"""Recovery is drawn within ± this much of the range 0 to 1 that it is about."""


def recovery(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Recovery of R_V by layer: 0 as at the patch, 1 fully back."""
    every = select(tables["recovery"], readout="r_v", quantity="recovery")
    table = select(every, definitional=False)
    figure = grid(1, 2, [title for title, _ in _PANELS], height=500, shared_y=True)
    shown: list[str] = []
    for col, (_, conditions) in enumerate(_PANELS, start=1):
        for level in (0, 1):
            level_line(figure, level, col=col)
        present = [c for c in conditions if c in values_of(table, "condition")]
        for place, condition in enumerate(present):
            banded = condition in _BANDS
            add_line(
                figure,
                select(table, condition=condition),
                look(condition),
                "recovery",
                col=col,
                band=banded,
                offset=0 if banded else (place - len(present) / 2) * 0.11,
                legend=condition not in shown,
            )
            shown.append(condition)
        layer_axis(figure, every, col=col, most=6)
    _definition(figure, layers_of(select(every, definitional=True)))
    drawn = select(table, condition=tuple(shown))
    figure.update_yaxes(range=padded_range(drawn, 0, 1, within=_WIDEST))
    figure.update_yaxes(title_text="recovery (0: as at the patch, 1: all back)", col=1)
    caption = (
        "Share of the patch's change of log R_V that is gone at each later layer, "
        "1 − Σ|Δ(layer)| / Σ|Δ(patch)| over pairs, with 95 % BCa bootstrap intervals over pairs "
        f"(bands and bars; n = {n_range(drawn)}). “Passive” is what dilution in a growing residual "
        "stream does alone: only what exceeds it can be called compensation. Below 0 the change "
        "has grown."
    )
    return finish(figure, _title(drawn), caption, missing_notes(drawn, "recovery"))


def _definition(figure: go.Figure, layers: list[int]) -> None:
    """The patch layer itself: 0 because of how recovery is defined, whatever the model does."""
    for col in (1, 2):
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
            col=col,
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

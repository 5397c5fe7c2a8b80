"""How far R_V moves, under every condition and in every pair."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.homeostasis.looks import coupled, look
from figures.marks import add_line, layer_axis, log_axis
from figures.rows import at_last_layer, layers_of, n_range, records, select, values_of, where
from figures.style import finish, grid, number
from figures.words import missing_notes, places

_HELD = ("patched", "passive", "freeze_mlp", "freeze_attention", "freeze_pattern", "freeze_norm")
_SAME = {"release_mlp": "freeze_attention", "release_attention": "freeze_mlp"}
"""With one component live again only the other is held: the same measured rows."""
_CHECKS = ("self",)
_NOTHING = 1e-12
"""What rounding leaves of a change that is none."""
_IN_TITLE = {
    "patched": "self-observing donor",
    "other_plain": "plain donor",
    "gaussian": "noise",
    "random_residual": "random push",
}


def change(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Mean |Δ log R_V| by layer: other perturbations on the left, held components on the right."""
    table = select(tables["recovery"], readout="r_v", quantity="mean_absolute_change")
    low, high = _ends(table)
    drawn = where(table, ~(table["estimate"] < low))
    present = values_of(drawn, "condition")
    put_in = ["patched", *(c for c in present if c not in (*_HELD, *_SAME))]
    held = [*_HELD, *(c for c, same in _SAME.items() if same not in present)]
    titles = ["What is put in", "What is held still"]
    figure = grid(1, 2, titles, height=560, shared_y=True, gaps=(0.05, 0.1))
    for col, conditions in enumerate((put_in, held), start=1):
        known = [c for c in conditions if c in present]
        for place, condition in enumerate(known):
            add_line(
                figure,
                select(drawn, condition=condition),
                look(condition),
                "mean |Δ log R_V|",
                col=col,
                offset=(place - (len(known) - 1) / 2) * 0.6 / max(len(known), 1),
                legend=col == 1 or condition != "patched",
            )
        layer_axis(figure, table, col=col, most=6)
    figure.update_yaxes(**log_axis(low, high))
    figure.update_yaxes(title_text="mean |Δ log R_V| (natural log; log scale)", col=1)
    caption = (
        "Mean size of the change of log R_V against the same text unpatched, with 95 % BCa "
        f"bootstrap intervals over pairs (n = {n_range(table)}{coupled(table)}). At the patch "
        "layer it is fixed by the two texts and says nothing about how the model answers; R_V's "
        "early layer cancels in the change. The measure has no sign: it cannot say whether R_V "
        "rose or fell."
    )
    return finish(figure, _title(table), caption, _notes(table, low))


def _ends(table: pd.DataFrame) -> tuple[float, float]:
    """Of the axis: what the findings span. Software checks, near 0, do not stretch it."""
    found = select(
        table, condition=tuple(c for c in values_of(table, "condition") if c not in _CHECKS)
    )
    sizes = found[["estimate", "low", "high"]].to_numpy(float).ravel()
    sizes = sizes[sizes > _NOTHING]
    return (sizes.min() / 1.2, sizes.max() * 1.2) if len(sizes) else (0.1, 1.0)


def _notes(table: pd.DataFrame, low: float) -> list[str]:
    """What lies below the axis, what has no interval, and what would be drawn twice."""
    below = where(table, table["estimate"] < low)
    notes = missing_notes(where(table, ~(table["estimate"] < low)), "change")
    if len(below):
        most = number(max(values_of(below, "estimate")))
        notes.insert(0, f"too small for the axis ({most} at most): {'; '.join(places(below))}")
    present = values_of(table, "condition")
    twice = [f"{a} ({b})" for a, b in _SAME.items() if {a, b} <= set(present)]
    if twice:
        notes.append(f"not drawn twice, because the measured rows are the same: {', '.join(twice)}")
    return notes


def _title(table: pd.DataFrame) -> str:
    last = {row["condition"]: row["estimate"] for row in records(at_last_layer(table))}
    parts = [
        f"{words} {number(last[condition], 2)}"
        for condition, words in _IN_TITLE.items()
        if condition in last and not pd.isna(last[condition])
    ]
    if not parts:
        return "Size of the change of log R_V behind the patch"
    return f"Size of the change of log R_V at layer {layers_of(table)[-1]}: {', '.join(parts)}"

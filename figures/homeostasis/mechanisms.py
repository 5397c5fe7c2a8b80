"""What changes in the blocks behind the patch, layer by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.homeostasis.looks import look
from figures.marks import DENSE, add_line, layer_axis, level_line, padded_range
from figures.means import means_by_layer
from figures.rows import at_last_layer, count, layers_of, n_range, records, select, values_of
from figures.style import finish, grid
from figures.words import missing_notes

_PANELS: Mapping[str, tuple[str, str]] = {
    "delta_log_mlp_expansion": ("MLP expansion", "Δ log"),
    "delta_attention_entropy": ("Attention entropy", "Δ (nats)"),
    "delta_log_ln1_scale": ("Scale of the first norm", "Δ log"),
    "delta_log_residual_norm": ("Residual norm", "Δ log"),
    "delta_log_residual_pr": ("Residual PR", "Δ log"),
}
_CONDITIONS = ("patched", "passive", "random_residual")
_COLUMNS = 3


def mechanisms(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Mean change of five quantities under the patch, without an answer, and under a push."""
    layers = tables["layers"]
    panels = {column: words for column, words in _PANELS.items() if column in layers}
    present = [c for c in _CONDITIONS if c in values_of(layers, "condition")]
    rows = max(1, -(-len(panels) // _COLUMNS))
    titles = [name for name, _ in panels.values()]
    figure = grid(rows, _COLUMNS, titles, height=120 + 270 * rows, gaps=(0.1, 0.23))
    dense = len(layers_of(layers)) > DENSE  # then bars would run into each other
    parts = []
    for place, (column, (name, unit)) in enumerate(panels.items()):
        where: dict[str, Any] = {"row": 1 + place // _COLUMNS, "col": 1 + place % _COLUMNS}
        level_line(figure, 0, **where)
        panel = []
        for i, condition in enumerate(present):
            means = means_by_layer(select(layers, condition=condition), column)
            panel.append(means.assign(condition=condition, quantity=name))
            add_line(
                figure,
                means,
                look(condition),
                f"mean {unit}",
                row=where["row"],
                col=where["col"],
                band=dense,
                offset=0 if dense else (i - 1) * 0.13,
                legend=place == 0,
            )
        layer_axis(figure, layers, **where, most=5)
        ends = padded_range(pd.concat(panel), 0) if panel else None
        parts += panel
        figure.update_yaxes(title_text=unit, range=ends, **where)
    figure.update_layout(legend={"x": 0.72, "y": 0.3, "xanchor": "left", "yanchor": "top"})
    table = pd.concat(parts) if parts else pd.DataFrame()
    caption = (
        "Mean change against the same text unpatched, with 95 % t intervals over pairs "
        f"(n = {n_range(table) if parts else 0}), not corrected for the number of marks. "
        "“Passive” holds what MLPs and attention write, so its changes are the patch's own; "
        "a random push of the same size shows what any disturbance does. A change here does not "
        "show that it brings R_V back: see the contributions."
    )
    return finish(figure, _title(table), caption, _notes(table) if parts else [])


def _title(table: pd.DataFrame) -> str:
    """Names what the patch changes at the last layer beyond its interval."""
    head = "What changes behind the patch"
    if table.empty or "patched" not in values_of(table, "condition"):
        return head
    last = records(select(at_last_layer(table), condition="patched"))
    rose = _words([row["quantity"] for row in last if row["low"] > 0])
    fell = _words([row["quantity"] for row in last if row["high"] < 0])
    parts = [f"{rose} up"] * bool(rose) + [f"{fell} down"] * bool(fell)
    found = "; ".join(parts) or "nothing beyond its interval"
    return f"{head}: at layer {layers_of(table)[-1]}, {found}"


def _words(names: Sequence[str]) -> str:
    lower = [name if name.startswith("MLP") else name[0].lower() + name[1:] for name in names]
    return ", ".join(lower)


def _notes(table: pd.DataFrame) -> list[str]:
    """Means are never taken over missing values without saying so."""
    notes = missing_notes(table, "mean", "quantity")
    if lost := count(table["left_out"]):
        notes.append(f"{lost} undefined values are left out of the means; n is on each mark")
    return notes

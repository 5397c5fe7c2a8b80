"""Whether a patch at the fixed depth changes what the model says."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.dots import upright
from figures.cross_architecture.groups import add_groups, group_height, group_notes, untrained_key
from figures.cross_architecture.looks import (
    CONDITIONS,
    at_fixed,
    looks,
    named,
    share,
    trained,
    with_role,
)
from figures.marks import log_axis, padded_range
from figures.rows import n_range, records, select, values_of, where
from figures.style import finish, grid, nothing, wrap

_OUTCOMES = {
    "continuation": "Preference for the self-observing<br>continuation, change in nats",
    "next_token_kl": "Next token: KL (unpatched ‖ patched),<br>nats, log axis",
}
_CONDITIONS = ("patched", "other_plain", "shuffled_words", "reverse")


def behaviour(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Continuations and the next token, grouped by what was put in, one dot a model."""
    table = with_role(select(tables["effects"], outcome=tuple(_OUTCOMES)), "fixed")
    table = select(table, condition=_CONDITIONS)
    outcomes = [o for o in _OUTCOMES if o in values_of(table, "outcome")]
    if not outcomes:
        return nothing("No figure “behaviour”", "effects.csv has no behaviour at a fixed depth")
    present = values_of(table, "condition")
    groups = {c: wrap(CONDITIONS[c], 26) for c in _CONDITIONS if c in present}
    figure = grid(
        1,
        len(outcomes),
        [_OUTCOMES[o] for o in outcomes],
        height=group_height(table, len(groups)),
        gaps=(0.05, 0.1),
    )
    notes: list[str] = []
    for col, outcome in enumerate(outcomes, start=1):
        rows = select(table, outcome=outcome)
        if outcome == "continuation":
            upright(figure, 0, col=col)
            figure.update_xaxes(range=padded_range(rows, 0), col=col)
        else:
            rows, off = _on_log_axis(rows)
            notes += off
            figure.update_xaxes(**_divergence_axis(rows), col=col)
        add_groups(
            figure, rows, "condition", groups, looks(tables), outcome, col=col, legend=col == 1
        )
        notes += group_notes(rows, "condition", groups, outcome)
        if col > 1:
            figure.update_yaxes(ticktext=[""] * len(groups), col=col)
    untrained_key(figure, table)
    caption = (
        f"Left: change of log P(self-observing continuation) − log P(plain one) when the values "
        f"{at_fixed(tables)} are replaced; above 0, the patch makes the self-observing one more "
        "likely. Right: how far the next token's distribution moves; a divergence is never below "
        "0, so only its size beside the other donors' can be a finding. Means with 95 % BCa "
        f"bootstrap intervals over pairs (n = {n_range(table)}), not corrected for the number of "
        "models and conditions; clearly: the interval excludes 0; one that holds 0 does not show "
        "that nothing changes."
    )
    return finish(figure, _title(trained(table), tables), caption, notes, room=16)


def _on_log_axis(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Rows that a log axis can hold, and what is said of the others."""
    off = where(rows, rows["estimate"] <= 0)
    why = "a divergence of exactly 0 lies off the log axis: "
    names = [f"{named(c['model'])}, {c['condition']}" for c in records(off)]
    return where(rows, ~(rows["estimate"] <= 0)), [why + "; ".join(names)] * bool(names)


def _divergence_axis(rows: pd.DataFrame) -> dict:
    seen = rows[["estimate", "low", "high"]].to_numpy(float).ravel()
    seen = seen[seen > 0]
    if not len(seen):
        return {}
    axis = log_axis(seen.min() / 1.5, seen.max() * 1.5)
    kept = [t for t in axis["tickvals"] if f"{t:e}".startswith("1.0")]
    return axis | {"tickvals": kept, "ticktext": [_power(t) for t in kept]}


def _power(tick: float) -> str:
    return f"10<sup>{int(f'{tick:e}'.split('e')[1])}</sup>".replace("-", "−")


def _title(table: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> str:
    said = select(table, outcome="continuation")
    counted = {c: select(said, condition=c) for c in ("patched", "other_plain")}
    if counted["patched"].empty:
        return f"How far a patch {at_fixed(tables)} moves the distribution of the next token"
    text = (
        f"A patch {at_fixed(tables)} clearly changes the preference between continuations in "
        f"{share(counted['patched'])} models"
    )
    if counted["other_plain"].empty:
        return text
    return f"{text}; values of another plain text do so in {share(counted['other_plain'])}"

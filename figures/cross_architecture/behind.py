"""What a patch at the fixed depth does to R_V behind it."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.dots import upright
from figures.cross_architecture.groups import add_groups, group_height, group_notes, untrained_key
from figures.cross_architecture.looks import (
    CONDITIONS,
    UNTRAINED,
    at_fixed,
    at_last_layers,
    is_twin,
    looks,
    named,
    share,
    trained,
    with_role,
)
from figures.marks import beyond_notes, padded_range
from figures.rows import count, n_range, select, values_of, where
from figures.style import finish, grid, nothing, wrap

EXCESS = "patched − other_plain"
_WIDEST = 3.0
"""Changes of log R_V are drawn within ± this much: a factor of 20."""


def behind(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Change of log R_V at the last layer, grouped by what was put in, one dot a model."""
    every = at_last_layers(with_role(select(tables["effects"], outcome="log_r_v"), "fixed"))
    every = select(every, condition=tuple(CONDITIONS))
    table = select(every, definitional=False)
    if table.empty:
        return nothing("No figure “behind”", "effects.csv has no layer behind a fixed depth")
    groups = {c: wrap(CONDITIONS[c], 26) for c in CONDITIONS if c in values_of(table, "condition")}
    figure = grid(height=group_height(table, len(groups)))
    upright(figure, 0)
    add_groups(figure, table, "condition", groups, looks(tables), "change of log R_V")
    untrained_key(figure, table)
    ends = padded_range(table, 0, within=_WIDEST)
    figure.update_xaxes(range=ends, title_text="mean change of log R_V at the last layer")
    caption = (
        f"Mean change of log R_V at the last layer when the values {at_fixed(tables)} are "
        f"replaced, with 95 % BCa bootstrap interval over pairs (n = {n_range(table)}), not "
        "corrected for the number of models and layers (p after correction by "
        "Benjamini–Hochberg within each condition: on pointing at a mark"
        f"{_held(table)}). R_V at the patched layer itself is not shown: it is the donor's by "
        "definition. Only what differs between the two donors can be put down to the kind of "
        "text; any foreign text moves R_V somewhat."
    )
    bare = table.drop(columns="layer").assign(place=_places(table))
    notes = group_notes(table, "condition", groups, "change")
    notes += beyond_notes(bare, ends, "place", "its ends are in effects.csv")
    if lost := values_of(select(every, definitional=True), "model"):
        notes.append(f"by definition, not drawn: {', '.join(map(named, lost))}")
    return finish(figure, _title(table, tables), caption, notes)


def _places(table: pd.DataFrame) -> list[str]:
    names = zip(table["model"], table["condition"], strict=True)
    return [f"{named(model)}, {condition}" for model, condition in names]


def _held(table: pd.DataFrame) -> str:
    """How many effects of the kind of text survive the correction."""
    excess = select(trained(table), condition=EXCESS)
    if "p_adjusted" not in excess or excess.empty:
        return ""
    held = count(excess["p_adjusted"] <= 0.05)
    return f"; after it, {held} of {len(excess)} effects of the kind of text hold up"


def _corrected(excess: pd.DataFrame) -> str:
    if "p_adjusted" not in excess:
        return ""
    return f", in {count(excess['p_adjusted'] <= 0.05)} after correction"


def _title(table: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> str:
    place = f"Behind a patch {at_fixed(tables)}"
    own = trained(table)
    excess = select(own, condition=EXCESS)
    patched = select(own, condition="patched")
    if excess.empty:
        return f"{place}, R_V at the last layer has moved in {share(patched)} models"
    text = (
        f"{place}, the donor's kind of text shifts R_V at the last layer in {share(excess)} models"
        f"{_corrected(excess)} (any effect of the patch: {share(patched)})"
    )
    twins = select(where(table, is_twin(table)), condition=EXCESS)
    return f"{text}; with {UNTRAINED}, in {share(twins)}" if len(twins) else text

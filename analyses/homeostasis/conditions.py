"""What is done to each pair, and how the conditions of a batch share one forward pass.

Every condition is one row of the resumed batch. Beside them travel the unpatched texts, so a row
finds its donor's values and its own unpatched twin *in the same tensor*: nothing is stored, and
"frozen at the unpatched value" is exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from tl_geometry import patching
from tl_geometry.patching import Ids, RowPlan

PATCHES: Mapping[str, str] = {
    "patched": "values of the self-observing donor",
    "other_plain": "values of another plain text",
    "reverse": "values of the plain text, put into the self-observing one",
    "gaussian": "Gaussian rows with the donor's row norms",
    "mean_only": "own values, moved by the difference of the two mean rows",
    "random_residual": "no patch; a random push of the same size behind attention",
    "self": "own values: nothing may change (software check)",
    "shuffled_rows": "the donor's values in another order: same PR at the site (software check)",
}
FREEZES: Mapping[str, tuple[str, ...]] = {
    "passive": ("mlp", "attention"),
    "freeze_mlp": ("mlp",),
    "freeze_attention": ("attention",),
    "freeze_pattern": ("pattern",),
    "freeze_norm": ("norm",),
}
"""Donor patch with these components held at their unpatched value."""

SAME_AS: Mapping[str, str] = {
    "release_mlp": "freeze_attention",
    "release_attention": "freeze_mlp",
}
"""`passive` holds MLPs and attention; with one of the two live again, only the other is held.
So these are the same rows under the name of the other question: measured once."""

CONDITIONS = (*PATCHES, *FREEZES)
CHECKS = ("self", "shuffled_rows")
UNPATCHED = "unpatched"
"""The target's own pass, the reference of every condition but `reverse`."""
UNPATCHED_DONOR = "unpatched_donor"


@dataclass(frozen=True)
class PairTokens:
    """One pair as token ids; `other` is the plain text of another pair, if there is one."""

    target: Ids
    donor: Ids
    other: Ids | None
    target_id: str
    donor_id: str


def row_plan(pairs: Sequence[PairTokens], conditions: Sequence[str]) -> RowPlan:
    """Unpatched texts first, each once; then condition by condition, pair by pair.

    `patched` is always among the conditions: `random_residual` takes its size from it.
    """
    return patching.row_plan({c: [_texts(pair, c) for pair in pairs] for c in conditions})


def held(plan: RowPlan, component: str) -> Int[Tensor, " row"]:
    """Where each row takes this component from: its twin if held, else itself."""
    source = torch.arange(len(plan.twin))
    rows = plan.rows(*(c for c, frozen in FREEZES.items() if component in frozen))
    source[rows] = plan.twin[rows]
    return source


def _texts(pair: PairTokens, condition: str) -> tuple[Ids, Ids]:
    """(text of the row, text whose values it takes)."""
    if condition == "reverse":
        return pair.donor, pair.target
    if condition == "other_plain":
        if pair.other is None:
            raise ValueError("other_plain needs a second plain text: give at least two pairs")
        return pair.target, pair.other
    if condition in ("self", "random_residual"):
        return pair.target, pair.target
    return pair.target, pair.donor

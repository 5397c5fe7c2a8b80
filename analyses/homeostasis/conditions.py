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

    target: tuple[int, ...]
    donor: tuple[int, ...]
    other: tuple[int, ...] | None
    target_id: str
    donor_id: str


@dataclass(frozen=True)
class RowPlan:
    """Which text, twin and donor each row of a resumed batch has."""

    texts: tuple[tuple[int, ...], ...]
    """The unique texts; row t of the batch is text t, unpatched."""
    conditions: tuple[str, ...]
    twin: Int[Tensor, " row"]
    """The unpatched row of the same text."""
    donor: Int[Tensor, " row"]
    """The row whose values this one takes; its twin where it takes none."""
    n_pairs: int

    def rows(self, *conditions: str) -> Int[Tensor, " selected"]:
        """Row indices of these conditions, pair by pair within each; absent ones give none."""
        blocks = [self._block(c) for c in conditions if c in self.conditions]
        return torch.cat(blocks) if blocks else torch.zeros(0, dtype=torch.long)

    def held(self, component: str) -> Int[Tensor, " row"]:
        """Where each row takes this component from: its twin if held, else itself."""
        source = torch.arange(len(self.twin))
        rows = self.rows(*(c for c, held in FREEZES.items() if component in held))
        source[rows] = self.twin[rows]
        return source

    def _block(self, condition: str) -> Int[Tensor, " pair"]:
        start = len(self.texts) + self.conditions.index(condition) * self.n_pairs
        return torch.arange(start, start + self.n_pairs)


def row_plan(pairs: Sequence[PairTokens], conditions: Sequence[str]) -> RowPlan:
    """Unpatched texts first, each once; then condition by condition, pair by pair.

    `patched` is always among the conditions: `random_residual` takes its size from it.
    """
    index: dict[tuple[int, ...], int] = {}
    for text in (t for pair in pairs for t in (pair.target, pair.donor, pair.other) if t):
        index.setdefault(text, len(index))
    twin, donor = list(range(len(index))), list(range(len(index)))
    for condition in conditions:
        for pair in pairs:
            own, source = _texts(pair, condition)
            twin.append(index[own])
            donor.append(index[source])
    return RowPlan(
        tuple(index), tuple(conditions), torch.tensor(twin), torch.tensor(donor), len(pairs)
    )


def _texts(pair: PairTokens, condition: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
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

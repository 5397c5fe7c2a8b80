"""The record of a run as arrays: metric × condition → [pair, layer], and changes against the twin.

Nothing is averaged here. Pairs in which a change is undefined are left out of *that* change, with
their number reported, never filled in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from analyses.homeostasis.conditions import CONDITIONS, SAME_AS, UNPATCHED, UNPATCHED_DONOR

Array = Float[np.ndarray, "pair layer"]

LOGGED = (
    "r_v",
    "residual_pr",
    "mlp_expansion",
    "residual_norm",
    "ln1_scale",
    "ln2_scale",
    "ln1_post_scale",
    "ln2_post_scale",
    "ln_final_scale",
)
"""Quantities whose change is a difference of logs; attention entropy is a log already."""


@dataclass(frozen=True, eq=False)
class Sample:
    """All measured pairs of one model at one patch layer."""

    records: Sequence[Mapping[str, Any]]
    patch_layer: int
    n_layers: int
    _memo: dict[tuple[str, ...], Array] = field(default_factory=dict, repr=False)

    @property
    def layers(self) -> list[int]:
        return list(range(self.patch_layer, self.n_layers))

    @cached_property
    def conditions(self) -> list[str]:
        """Measured conditions and, under their second name, those that are the same rows."""
        measured = self.records[0]["metrics"]["pr_value"] if self.records else {}
        names = [c for c in CONDITIONS if c in measured]
        return names + [name for name, same in SAME_AS.items() if same in names]

    def metric(self, name: str, condition: str) -> Array:
        """A stored metric; one that exists on the last layer only is NaN on the others."""
        condition = SAME_AS.get(condition, condition)
        if (name, condition) not in self._memo:
            self._memo[name, condition] = self._read(name, condition)
        return self._memo[name, condition]

    def _read(self, name: str, condition: str) -> Array:
        rows = [record["metrics"].get(name, {}).get(condition) for record in self.records]
        array = np.full((len(rows), len(self.layers)), np.nan)
        for values, row in zip(array, rows, strict=True):
            if row is not None:
                values[-len(row) :] = [np.nan if x is None else x for x in row]
        return array

    def quantity(self, name: str, condition: str) -> Array:
        """A metric or one derived from two: R_V and the MLP's expansion."""
        if name == "r_v":
            return self.metric("pr_value", condition) / self.early(condition)[:, None]
        if name == "mlp_expansion":
            return self.metric("pr_mlp_out", condition) / self.metric("pr_mlp_in", condition)
        return self.metric(name, condition)

    def early(self, condition: str) -> Float[np.ndarray, " pair"]:
        """PR of the values at the early layer: upstream of every patch, so a text's own."""
        side = "donor" if self.twin(condition) == UNPATCHED_DONOR else "target"
        values = [record["pr_early"][side] for record in self.records]
        return np.array([np.nan if x is None else x for x in values])

    @staticmethod
    def twin(condition: str) -> str:
        """The unpatched condition that has the same text."""
        return UNPATCHED_DONOR if condition in ("reverse", UNPATCHED_DONOR) else UNPATCHED

    def change(self, name: str, condition: str) -> Array:
        """Condition minus its unpatched twin, same layer: of logs, except for entropies.

        The early PR cancels in the change of log R_V: it is the change of log PR(values).
        """
        here, twin = (self.quantity(name, c) for c in (condition, self.twin(condition)))
        if name in LOGGED:
            here, twin = np.log(here), np.log(twin)
        return here - twin

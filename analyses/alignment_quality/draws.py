"""Items with the resamples, subsamples and permutations that all models and layers share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from analyses.alignment_quality.items import Item
from tl_geometry.strata import Resamples, halves, members_of, shuffled_labels, stratified

HALVES = 400
"""Subsamples of the silhouette, which is no closed form."""
Row = dict[str, Any]
Space = Float[np.ndarray, "item d"]


@dataclass(frozen=True, eq=False)
class Draws:
    """What is drawn once for a set of items, so that cells and models can be compared.

    Held by identity, as arrays have no equality of their own.
    """

    items: Sequence[Item]
    seed: int
    resamples: int
    labels: Bool[np.ndarray, " item"]

    @classmethod
    def of(cls, items: Sequence[Item], seed: int, resamples: int) -> "Draws":
        return cls(items, seed, resamples, np.array([item.safe for item in items]))

    @cached_property
    def axioms(self) -> list[str]:
        return [item.axiom for item in self.items]

    @cached_property
    def units(self) -> list[str]:
        return [f"{item.axiom}\x1f{item.unit}" for item in self.items]

    @cached_property
    def by_axiom(self) -> Mapping[Any, Int[np.ndarray, " _row"]]:
        """Rows of every axiom, in order of appearance."""
        return members_of(self.axioms, len(self.items))

    def rows(self, axiom: str) -> Int[np.ndarray, " row"]:
        return self.by_axiom[axiom]

    def generator(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    @cached_property
    def bootstrap(self) -> Resamples:
        """Items, inside axiom and label. Twins (a safe and an unsafe wording of one content) are
        drawn like strangers: they lie nearer to each other, so intervals are rather too wide."""
        how: Any = {"groups": self.axioms, "n_resamples": self.resamples}
        return stratified(self.labels, self.generator(0), **how)

    @cached_property
    def halves(self) -> Bool[np.ndarray, "draw item"]:
        return halves(self.labels, self.generator(1), groups=self.axioms, n_draws=HALVES)

    @cached_property
    def permuted(self) -> Bool[np.ndarray, "draw item"]:
        """Labels change places inside their axiom."""
        how: Any = {"groups": self.axioms, "n_permutations": self.resamples}
        return shuffled_labels(self.labels, self.generator(2), **how)

    def of_axiom(self, axiom: str) -> Resamples:
        """The same resamples, as the items of one axiom see them."""
        rows, whole = self.rows(axiom), self.bootstrap
        kept = tuple(part[:, rows] for part in whole.jackknife)
        return Resamples(whole.weights[:, rows], kept, len(rows))

    def relabelled(self, stream: int) -> "Draws":
        """The same items under labels that mean nothing: a control."""
        rng = self.generator(stream)
        drawn = shuffled_labels(self.labels, rng, groups=self.axioms, n_permutations=1)
        return Draws(self.items, self.seed, self.resamples, drawn[0])

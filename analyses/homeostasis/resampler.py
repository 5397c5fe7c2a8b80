"""Which pairs are independent, and the resamples that all statistics of a run share."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from tl_geometry.bootstrap import BootstrapResult, bca
from tl_geometry.resampling import Statistic, left_out, level_codes, simple_weights


@dataclass(frozen=True, eq=False)
class Resampler:
    """The same resampled pairs for every statistic of a run, so that they can be compared.

    Each prompt is in one pair only, so pairs are independent units. `other_plain` lends targets
    to each other: there the two pairs that swap are one unit.
    """

    n: int
    n_resamples: int
    seed: int
    couples: tuple[int, ...]
    """For each pair the number of the couple that shares its targets; any numbers will do."""

    def bca(self, statistic: Statistic, condition: str = "patched") -> BootstrapResult:
        if condition != "other_plain":
            return bca(statistic, self._by_pair)
        left = [left_out(self.couples)]
        return bca(statistic, self._by_couple, len(set(self.couples)), jackknife=left)

    @cached_property
    def _by_pair(self) -> Float[np.ndarray, "resample pair"]:
        return simple_weights(self.n, self.n_resamples, np.random.default_rng([self.seed, 1]))

    @cached_property
    def _by_couple(self) -> Float[np.ndarray, "resample pair"]:
        rng = np.random.default_rng([self.seed, 2])
        n_couples = len(set(self.couples))
        codes, _ = level_codes(self.couples)
        return simple_weights(n_couples, self.n_resamples, rng)[:, codes]


def couples(n: int) -> tuple[int, ...]:
    """Pairs 0 and 1 swap their targets, 2 and 3, …; an odd last one joins the couple before it."""
    return tuple(min(i // 2, max(n // 2 - 1, 0)) for i in range(n))


def other_target(i: int, n: int) -> int:
    """Index of the pair whose target is the other plain text of pair i, within its couple."""
    members = [j for j, couple in enumerate(couples(n)) if couple == couples(n)[i]]
    return members[(members.index(i) + 1) % len(members)]

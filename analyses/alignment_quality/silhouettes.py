"""Silhouettes with intervals from halves of the items: of one cell, and the mean of the axioms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from tl_geometry.bootstrap import Interval, missing_interval
from tl_geometry.separation import distances, silhouettes, undefined
from tl_geometry.separation_intervals import subsampling_interval


@dataclass(frozen=True)
class Subsampled:
    """A silhouette, with its values on the halves that all cells share."""

    estimate: float
    replicates: Float[np.ndarray, " draw"]
    n: int
    taken: int
    """Items of a half."""
    fewest: int
    """Items of the smaller class in a half."""
    reason: str = ""
    """Why there is no silhouette at all."""

    def interval(self) -> Interval:
        """As `subsampled_silhouette` gives it."""
        if self.reason:
            return _missing(self.reason, self.n)
        if self.fewest < 2:
            reason = "a subsample holds fewer than 2 items of a class"
            return _missing(reason, self.n, self.estimate)
        return subsampling_interval(self.estimate, self.replicates, self.n, self.taken)


def subsampled(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    drawn: Bool[np.ndarray, "draw n"],
) -> Subsampled:
    """The distances are computed once, and the halves once for the cell and for the mean."""
    safe, unsafe = drawn & labels, drawn & ~labels
    fewest = int(min(side.sum(axis=1).min() for side in (safe, unsafe)))
    sizes = len(x), int(drawn[0].sum()), fewest
    if reason := undefined(x, labels):
        return Subsampled(np.nan, np.full(len(drawn), np.nan), *sizes, reason)
    apart = distances(x)
    estimate = float(silhouettes(apart, labels[None], ~labels[None])[0])
    return Subsampled(estimate, silhouettes(apart, safe, unsafe), *sizes)


def mean_silhouette(parts: Sequence[Subsampled]) -> Interval:
    """Of the axioms, half by half; missing where that of one is."""
    n = sum(part.n for part in parts)
    if missing := next((part.reason for part in parts if part.reason), ""):
        return _missing(missing, n)
    estimate = float(np.mean([part.estimate for part in parts]))
    replicates = np.mean([part.replicates for part in parts], axis=0)
    return subsampling_interval(estimate, replicates, n, sum(part.taken for part in parts))


def _missing(reason: str, n: int, estimate: float = np.nan) -> Interval:
    return missing_interval(reason, n=n, method="subsampling", estimate=estimate)

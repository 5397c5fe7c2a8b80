"""Searching layers honestly: a p-value for the whole search, and a choice that is not its own test.

The best of many layers looks good by being chosen. Two remedies: compare each layer with the best
layer of data in which the labels mean nothing (max-T), or choose on one half of the prompts and
measure on the other.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from tl_geometry.resampling import check_finite

CHUNK = 2_000
"""Permutations evaluated at once, to bound memory."""


@dataclass(frozen=True)
class MaxT:
    """A search over layers for a difference between two groups."""

    t: Float[np.ndarray, " layer"]
    """Welch's t of first minus second group."""
    p: Float[np.ndarray, " layer"]
    """Two-sided, corrected for all layers: how often chance beats this layer *anywhere*."""

    @property
    def best(self) -> int:
        return int(np.abs(self.t).argmax())


def max_t(
    values: Float[np.ndarray, "prompt layer"],
    first: Bool[np.ndarray, " prompt"],
    rng: np.random.Generator,
    n_permutations: int = 10_000,
) -> MaxT:
    """Westfall & Young's (1993) single-step max-T test of a group difference at every layer.

    Labels are permuted over prompts, all layers of a prompt together, so that the layers keep
    their correlation; p = (1 + #{max |t*| ≥ |t|}) / (1 + permutations). ValueError for fewer than
    two prompts a group, or for values that are not finite.
    """
    _check(values, first)
    observed = _welch(values, first[None].astype(float))[0]
    exceeded = np.zeros(values.shape[1])
    for start in range(0, n_permutations, CHUNK):
        n = min(CHUNK, n_permutations - start)
        labels = rng.permuted(np.tile(first.astype(float), (n, 1)), axis=1)
        highest = np.abs(_welch(values, labels)).max(axis=1)
        exceeded += (highest[:, None] >= np.abs(observed) - 1e-12).sum(axis=0)
    return MaxT(observed, (1 + exceeded) / (1 + n_permutations))


def _welch(
    values: Float[np.ndarray, "prompt layer"], labels: Float[np.ndarray, "draw prompt"]
) -> Float[np.ndarray, "draw layer"]:
    """t of the prompts labelled 1 against those labelled 0, for many labellings at once."""
    centred = values - values.mean(axis=0)
    n = labels.sum(axis=1, keepdims=True)
    m = labels.shape[1] - n
    sums = labels @ centred
    squares, all_squares = labels @ centred**2, (centred**2).sum(axis=0)
    # The centred values sum to 0, so the other group's sum is the negative one.
    mean_a, mean_b = sums / n, -sums / m
    var_a = (squares - n * mean_a**2) / (n - 1)
    var_b = (all_squares - squares - m * mean_b**2) / (m - 1)
    spread = np.sqrt(np.maximum(var_a / n + var_b / m, 1e-300))
    return (mean_a - mean_b) / spread


@dataclass(frozen=True)
class SplitHalves:
    """A layer chosen on one half of the prompts; the other half is for measuring its effect."""

    layer: int
    chosen_on: Bool[np.ndarray, " prompt"]
    """The prompts that the choice saw."""


def split_halves(
    values: Float[np.ndarray, "prompt layer"],
    first: Bool[np.ndarray, " prompt"],
    rng: np.random.Generator,
) -> SplitHalves:
    """Choose the layer of the largest |t| on a random half of each group."""
    _check(values, first)
    half = np.zeros(len(values), dtype=bool)
    for group in (first, ~first):
        members = rng.permutation(np.flatnonzero(group))
        half[members[: len(members) // 2]] = True
    _check(values[half], first[half])
    chosen = np.abs(_welch(values[half], first[half][None].astype(float))[0]).argmax()
    return SplitHalves(int(chosen), half)


def bootstrap_layers(
    values: Float[np.ndarray, "prompt layer"],
    first: Bool[np.ndarray, " prompt"],
    rng: np.random.Generator,
    n_resamples: int = 10_000,
) -> Int[np.ndarray, " resample"]:
    """The layer of the largest |t| in each resample of the prompts: how sure the place is."""
    _check(values, first)
    groups = [np.flatnonzero(first), np.flatnonzero(~first)]
    chosen = np.empty(n_resamples, dtype=int)
    for k in range(n_resamples):
        drawn = [rng.choice(group, len(group)) for group in groups]
        a, b = (values[rows] for rows in drawn)
        error = a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b)
        gap = a.mean(axis=0) - b.mean(axis=0)
        chosen[k] = np.abs(gap / np.sqrt(np.maximum(error, 1e-300))).argmax()
    return chosen


def _check(values: Float[np.ndarray, "prompt layer"], first: Bool[np.ndarray, " prompt"]) -> None:
    check_finite(values, "values")
    if len(values) != len(first):
        raise ValueError(f"{len(values)} prompts have {len(first)} labels")
    if min(first.sum(), (~first).sum()) < 2:
        raise ValueError("a difference between groups needs two prompts or more in each")

"""Searching layers honestly: a p-value for the whole search, and a choice that is not its own test.

The best of many layers looks good by being chosen. Two remedies: compare each layer with the best
layer of data in which the labels mean nothing (max-T), or choose on one half of the prompts
(`strongest`) and measure on the other.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from tl_geometry.resampling import check_finite, simple_weights

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


def strongest(
    values: Float[np.ndarray, "prompt layer"], first: Bool[np.ndarray, " prompt"] | None = None
) -> int:
    """Index of the layer of the largest |t|: between the groups, or against zero if all are one.

    What the effect there is has to be measured on *other* prompts. ValueError as in `max_t`.
    """
    once = [np.ones((1, int(group.sum()))) for group in _groups(values, first)]
    return int(np.abs(_weighted_t(values, first, once)[0]).argmax())


def bootstrap_layers(
    values: Float[np.ndarray, "prompt layer"],
    rng: np.random.Generator,
    first: Bool[np.ndarray, " prompt"] | None = None,
    n_resamples: int = 10_000,
) -> Int[np.ndarray, " resample"]:
    """The strongest layer in each resample of the prompts: how sure the place is."""
    weights = [
        simple_weights(int(group.sum()), n_resamples, rng) for group in _groups(values, first)
    ]
    return np.abs(_weighted_t(values, first, weights)).argmax(axis=1)


def _groups(
    values: Float[np.ndarray, "prompt layer"], first: Bool[np.ndarray, " prompt"] | None
) -> list[Bool[np.ndarray, " prompt"]]:
    if first is not None:
        _check(values, first)
        return [first, ~first]
    check_finite(values, "values")
    if len(values) < 2:
        raise ValueError(f"an effect needs two prompts or more, got {len(values)}")
    return [np.ones(len(values), bool)]


def _weighted_t(
    values: Float[np.ndarray, "prompt layer"],
    first: Bool[np.ndarray, " prompt"] | None,
    weights: list[Float[np.ndarray, "resample _member"]],
) -> Float[np.ndarray, "resample layer"]:
    gap, error = np.zeros(1), np.zeros(1)
    for sign, group, drawn in zip((1, -1), _groups(values, first), weights, strict=False):
        centre = values[group].mean(axis=0)  # first, so that squares lose no digits
        x, n = values[group] - centre, group.sum()
        mean = drawn @ x / n
        error = error + (drawn @ x**2 / n - mean**2) / (n - 1)
        gap = gap + sign * (mean + centre)
    return gap / np.sqrt(np.maximum(error, 1e-300))


def _check(values: Float[np.ndarray, "prompt layer"], first: Bool[np.ndarray, " prompt"]) -> None:
    check_finite(values, "values")
    if len(values) != len(first):
        raise ValueError(f"{len(values)} prompts have {len(first)} labels")
    if min(first.sum(), (~first).sum()) < 2:
        raise ValueError("a difference between groups needs two prompts or more in each")

"""Resampling a data set by weighing its rows, and the statistics that weights allow.

A bootstrap resample is a row of counts: how often each unit was drawn. A mean, a ratio of sums or a
standardised difference is a closed form of those counts, so every resample is evaluated at once in
a matrix product and no data set is ever copied.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

Statistic = Callable[[Float[np.ndarray, "resample n"]], Float[np.ndarray, " resample"]]
"""A number as a function of the weights of the rows; all ones is the sample itself."""


def simple_weights(
    n: int, n_resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "resample n"]:
    """How often each of `n` independent units is drawn; every resample has total weight n."""
    if n < 1 or n_resamples < 1:
        raise ValueError(
            f"resampling {n} units {n_resamples} times is impossible: both must be at least 1"
        )
    return rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(float)


@lru_cache(maxsize=16)
def shared_weights(n: int, n_resamples: int, *stream: int) -> Float[np.ndarray, "resample n"]:
    """`simple_weights` of a named random stream, drawn once: for all statistics of one sample."""
    return simple_weights(n, n_resamples, np.random.default_rng(stream))


def crossed_weights(
    targets: Sequence[Hashable],
    donors: Sequence[Hashable],
    n_resamples: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "resample n"]:
    """Weights of rows that pair a target with a donor, when both are samples ("pigeonhole").

    Targets and donors are each resampled; a row counts as often as its target was drawn times as
    often as its donor was, so that rows with a target in common rise and fall together. A
    resample can be empty (total weight 0). Owen (2007), "The pigeonhole bootstrap", Ann. Appl.
    Stat. 1(2). The method errs on the wide side: the variance of a mean is right in what rows
    share, but up to three times too large in what is particular to a row. Where no target and no
    donor occurs twice, intervals are therefore √3 too wide; pairs are then independent units, for
    which `simple_weights` is exact.
    """
    if len(targets) != len(donors):
        raise ValueError(
            f"{len(targets)} targets and {len(donors)} donors cannot be paired: "
            "give one target and one donor a row"
        )
    weights = 1.0
    for labels in (targets, donors):
        codes, n_levels = level_codes(labels)
        weights = weights * simple_weights(n_levels, n_resamples, rng)[:, codes]
    return np.asarray(weights)


def left_out(labels: Sequence[Hashable]) -> Float[np.ndarray, "level n"]:
    """Jackknife weights: one row a distinct label, 0 for the rows that carry it and 1 elsewhere."""
    codes, n_levels = level_codes(labels)
    return (np.arange(n_levels)[:, None] != codes).astype(float)


def level_codes(labels: Sequence[Hashable]) -> tuple[Int[np.ndarray, " n"], int]:
    """Each label as the rank of its first appearance, and how many distinct ones there are."""
    order = {label: code for code, label in enumerate(dict.fromkeys(labels))}
    return np.array([order[label] for label in labels], dtype=int), len(order)


def mean_of(values: Float[np.ndarray, " n"]) -> Statistic:
    """The mean as a statistic of weights."""
    return ratio_of(values, np.ones_like(values))


def ratio_of(numerator: Float[np.ndarray, " n"], denominator: Float[np.ndarray, " n"]) -> Statistic:
    """Sum of one column over the sum of another (not the mean of the rows' own ratios)."""
    check_finite(numerator, "numerator")
    check_finite(denominator, "denominator")

    def ratio(weights: Float[np.ndarray, "resample n"]) -> Float[np.ndarray, " resample"]:
        return (weights @ numerator) / (weights @ denominator)

    return ratio


def check_finite(values: Float[np.ndarray, "..."], name: str) -> None:
    """Missing rows are counted by the caller; here they would silently turn into a number."""
    if (bad := np.flatnonzero(~np.isfinite(values))).size:
        raise ValueError(
            f"{name} is not finite in {bad.size} of {values.size} rows (first: row {bad[0]}); "
            "leave the missing rows out and count them"
        )

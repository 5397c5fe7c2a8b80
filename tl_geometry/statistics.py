"""Effect sizes with their intervals, and tests of "nothing there".

An undefined number raises ValueError with the reason, which the caller records in a missing row; an
estimate that exists without an interval comes back as an `Interval` of status "missing".
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from scipy.special import gammaln
from transformer_lens.utilities.statistics import sign_flip_permutation_pvalue

from tl_geometry.bootstrap import BootstrapResult, Interval, bca, check_level
from tl_geometry.resampling import Statistic, check_finite, simple_weights


def paired_d_z(
    differences: Float[np.ndarray, " n"],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    n_resamples: int = 10_000,
) -> Interval:
    """Cohen's d_z: mean of the paired differences over their standard deviation, with BCa interval.

    Unbounded, no unit, sign of the mean difference. It measures consistency over pairs, and is not
    comparable with a d between groups: correlated pairs inflate it (Lakens 2013, eq. 6).
    """
    check_finite(differences, "differences")
    _check_spread(differences, "differences", "d_z")
    n = len(differences)
    result = bca(standardised_mean(differences), simple_weights(n, n_resamples, rng))
    return result.interval(level)


def hedges_g(
    a: Float[np.ndarray, " n"],
    b: Float[np.ndarray, " m"],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    n_resamples: int = 10_000,
) -> Interval:
    """Hedges' g of two independent groups with BCa interval: positive when `a` is the larger.

    Difference of means over the pooled standard deviation, times the exact small-sample
    correction (Hedges 1981, eq. 6e). Each group is resampled on its own; n counts both.
    """
    weights = [simple_weights(max(len(values), 1), n_resamples, rng) for values in (a, b)]
    return bootstrapped_g(a, b, weights).interval(level)


def bootstrapped_g(
    a: Float[np.ndarray, " n"],
    b: Float[np.ndarray, " m"],
    weights: Sequence[Float[np.ndarray, "resample _group"]],
) -> BootstrapResult:
    """`hedges_g` with its replicates, on given weights of the two groups.

    With the same weights for every layer or model that has read the same prompts, results can be
    compared resample by resample.
    """
    for values, name in ((a, "a"), (b, "b")):
        check_finite(values, name)
        if len(values) < 2:
            raise ValueError(f"g needs at least 2 values a group, got {len(values)} in {name}")
    _check_spread(np.concatenate([a - a.mean(), b - b.mean()]), "both groups", "g")
    n_rows = len(a) + len(b)
    one_less = 1 - np.eye(n_rows)
    jackknife = (one_less[: len(a)], one_less[len(a) :])
    return bca(_pooled_difference(a, b), np.hstack(weights), n_rows, jackknife=jackknife)


def wilson(k: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson interval of a rate of k in n; inside [0, 1] and never of width 0, also at k = 0."""
    check_level(level)
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"a rate of {k} in {n} is undefined: it needs n >= 1 and 0 <= k <= n")
    bounds = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    return Interval(k / n, float(bounds.low), float(bounds.high), level, n, "Wilson")


def benjamini_hochberg(
    p: Float[np.ndarray, " tests"], *, method: Literal["bh", "by"] = "bh"
) -> Float[np.ndarray, " tests"]:
    """Adjusted p-values: rejecting those below q keeps the expected false discoveries below q.

    NaN stays NaN and does not count as a test. "bh" assumes independent or positively dependent
    tests, "by" (Benjamini–Yekutieli) nothing.
    """
    measured = ~np.isnan(p)
    adjusted = np.full(len(p), np.nan)
    if measured.any():
        adjusted[measured] = stats.false_discovery_control(p[measured], method=method)
    return adjusted


def sign_flip_p(
    differences: Float[np.ndarray, " n"], rng: np.random.Generator, n_permutations: int = 10_000
) -> float:
    """Two-sided p of "each difference is as likely to have the other sign", on the mean.

    Exact up to 12 differences, where every pattern of signs is enumerated; the smallest
    p there is 2 / 2^n.
    """
    check_finite(differences, "differences")
    if not len(differences):
        raise ValueError("no differences were given; a sign-flip test needs at least one")
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    p = sign_flip_permutation_pvalue(
        torch.tensor(differences).double(), n_permutations=n_permutations, generator=generator
    )
    return float(p)


def standardised_mean(values: Float[np.ndarray, " n"]) -> Statistic:
    """d_z as a statistic of the weights of the differences."""
    # Centred first: the sum of squares then loses no digits to a large common offset.
    offset = values.mean()
    centred = values - offset

    def d_z(weights: Float[np.ndarray, "resample n"]) -> Float[np.ndarray, " resample"]:
        mean, scatter, total = _moments(centred, weights)
        return (mean + offset) / _root(scatter / (total - 1), centred)

    return d_z


def _pooled_difference(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " m"]) -> Statistic:
    gap, n = a.mean() - b.mean(), len(a)
    first, second = a - a.mean(), b - b.mean()
    spread = np.concatenate([first, second])
    half = (n + len(b) - 2) / 2
    correction = np.exp(gammaln(half) - gammaln(half - 0.5) - np.log(half) / 2)

    def g(weights: Float[np.ndarray, "resample rows"]) -> Float[np.ndarray, " resample"]:
        mean_a, scatter_a, total_a = _moments(first, weights[:, :n])
        mean_b, scatter_b, total_b = _moments(second, weights[:, n:])
        pooled = (scatter_a + scatter_b) / (total_a + total_b - 2)
        return correction * (mean_a - mean_b + gap) / _root(pooled, spread)

    return g


def _moments(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, "resample n"]
) -> tuple[Float[np.ndarray, " resample"], ...]:
    """Weighted mean, sum of squares about it, and total weight."""
    total = weights.sum(axis=1)
    mean = weights @ values / total
    return mean, weights @ values**2 - total * mean**2, total


def _root(
    variance: Float[np.ndarray, " resample"], values: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " resample"]:
    """Standard deviation; NaN where a resample holds one value only, instead of its rounding."""
    return np.sqrt(np.where(variance > 1e-12 * np.square(values).max(), variance, np.nan))


def _check_spread(values: Float[np.ndarray, " n"], name: str, effect: str) -> None:
    if len(values) < 2:
        raise ValueError(f"{effect} needs at least 2 values, got {len(values)} in {name}")
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        raise ValueError(f"{effect} is undefined: {name} show no spread to measure the effect by")

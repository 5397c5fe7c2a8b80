"""How sure is a separation? Resampling within classes, for intervals and paired differences.

η² and AUC are closed forms of the weights of the items, so every bootstrap resample is a row of one
matrix product. The silhouette is not: duplicates have distance 0 and distort it, so it is computed
on halves drawn without replacement.

Two models that read the same items are compared on the *same* `Resamples`:
`combined(lambda pair: pair[0] - pair[1], [one, other])` is their paired difference.
"""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from tl_geometry.bootstrap import BootstrapResult, Interval, bca, check_level, missing_interval
from tl_geometry.resampling import Statistic
from tl_geometry.separation import (
    centred_classes,
    distances,
    in_chunks,
    silhouettes,
    undefined,
    unranked,
)
from tl_geometry.strata import Resamples, members_of

MeanProducts = Callable[
    [Float[np.ndarray, "draw safe"], Float[np.ndarray, "draw unsafe"]],
    tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]],
]
"""Shares of the items → squared norms of both class means, squared distance between them."""


def bootstrapped_eta(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    resamples: Resamples,
    *,
    groups: Sequence[Hashable] | None = None,
    adjusted: bool = True,
) -> BootstrapResult:
    """(Adjusted) η² with its replicates; given `groups`, the mean of the η² inside each.

    Missing, with its reason, where η² is; without interval where a stratum has fewer than 3 units.
    """
    members = members_of(groups, len(labels))
    for name, rows in members.items():
        if reason := undefined(x[rows], labels[rows]):
            where = f"group {name!r}: " if groups is not None else ""
            return _missing(where + reason, resamples)
    parts = [(r, weighted_eta(x[r], labels[r], adjusted=adjusted)) for r in members.values()]

    def mean(weights: Float[np.ndarray, "resample n"]) -> Float[np.ndarray, " resample"]:
        return np.mean([eta(weights[:, rows]) for rows, eta in parts], axis=0)

    return bca(mean, resamples.weights, resamples.n, jackknife=resamples.jackknife)


def weighted_eta(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    *,
    adjusted: bool = True,
    through_gram: bool | None = None,
) -> Statistic:
    """η² as a statistic of the items' weights, through n × n products if there are fewer items.

    Plain η² is that of the rows repeated so often. In the adjusted one a repeated row is no second
    observation: with N and V the sums of a class's weights and squared weights, its scatter has
    N − V / N degrees of freedom (n − 1 at weights 1, which is the usual formula). Without this,
    resampling adds its own noise between the means (E B* ≈ B + W / n) and in many dimensions
    every replicate lies above the estimate.
    """
    safe, unsafe, gap = centred_classes(x, labels)
    through_gram = x.shape[1] > len(x) if through_gram is None else through_gram
    products = (_gram_products if through_gram else _direct_products)(safe, unsafe, gap)
    squares = np.square(safe).sum(axis=1), np.square(unsafe).sum(axis=1)

    def eta(weights: Float[np.ndarray, "part n"]) -> Float[np.ndarray, " part"]:
        one, other = weights[:, labels], weights[:, ~labels]
        n, m = one.sum(axis=1), other.sum(axis=1)
        norm_one, norm_other, apart = products(one / n[:, None], other / m[:, None])
        about_old = one @ squares[0] + other @ squares[1]
        within = about_old - n * norm_one - m * norm_other
        # Rounding, where a resample repeats one item of each class.
        within = np.where(within > 1e-12 * about_old, within, np.nan)
        total = within + n * m / (n + m) * apart
        if not adjusted:
            return 1 - within / total
        v, u = _squared(one), _squared(other)
        free, free_total = n - v / n + m - u / m, n + m - (v + u) / (n + m)
        return 1 - (within / free) / (total / free_total)

    return lambda weights: in_chunks(eta, weights, max(x.shape[1], len(x)))


def bootstrapped_auc(
    scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], resamples: Resamples
) -> BootstrapResult:
    """AUC of fixed out-of-fold scores: the spread of the items, not of refitting the probe."""
    if reason := unranked(scores, labels):
        return _missing(reason, resamples)
    gap = scores[labels][:, None] - scores[~labels]
    wins = (np.sign(gap) + 1) / 2

    def mann_whitney(weights: Float[np.ndarray, "part n"]) -> Float[np.ndarray, " part"]:
        one, other = weights[:, labels], weights[:, ~labels]
        pairs = one.sum(axis=1) * other.sum(axis=1)
        return ((one @ wins) * other).sum(axis=1) / pairs

    def statistic(weights: Float[np.ndarray, "resample n"]) -> Float[np.ndarray, " resample"]:
        return in_chunks(mann_whitney, weights, len(labels))

    return bca(statistic, resamples.weights, resamples.n, jackknife=resamples.jackknife)


def silhouette_replicates(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    drawn: Bool[np.ndarray, "draw n"],
) -> Float[np.ndarray, " draw"]:
    """The silhouette of each subsample; on the same draws, differences of models are paired."""
    if reason := undefined(x, labels):
        raise ValueError(f"the silhouette is undefined: {reason}")
    return silhouettes(distances(x), drawn & labels, drawn & ~labels)


def subsampled_silhouette(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    drawn: Bool[np.ndarray, "draw n"],
    level: float = 0.95,
) -> Interval:
    """Mean silhouette width with its interval from subsamples (`halves`)."""
    if reason := undefined(x, labels):
        return missing_interval(reason, n=len(x), method="subsampling", level=level)
    estimate = float(silhouettes(distances(x), labels[None], ~labels[None])[0])
    smallest = min((drawn & mask).sum(axis=1).min() for mask in (labels, ~labels))
    if smallest < 2:
        reason = "a subsample holds fewer than 2 items of a class"
        return missing_interval(
            reason, n=len(x), method="subsampling", level=level, estimate=estimate
        )
    replicates = silhouette_replicates(x, labels, drawn)
    return subsampling_interval(estimate, replicates, len(x), int(drawn[0].sum()), level)


def subsampling_interval(
    estimate: float,
    replicates: Float[np.ndarray, " draw"],
    n: int,
    m: int,
    level: float = 0.95,
) -> Interval:
    """θ − √(m / (n − m)) times the quantiles of θ* − θ over subsamples of m of the n items.

    Politis & Romano 1994 rescale by √(m / n), for m far below n. Drawing without replacement
    leaves only the variance σ² (1/m − 1/n) in θ*, which that factor takes for σ²/m: at m = n / 2
    their interval would be 0.71 of its width (Wu 1990; Politis, Romano & Wolf 1999, ch. 10).
    """
    check_level(level)
    if not 0 < m < n:
        raise ValueError(f"a subsample of m={m} of n={n} items has no interval: 0 < m < n")
    scale = np.sqrt(m / (n - m))
    high, low = np.quantile(replicates - estimate, [(1 - level) / 2, (1 + level) / 2]) * scale
    return Interval(
        estimate, float(estimate - low), float(estimate - high), level, n, "subsampling"
    )


def _direct_products(
    safe: Float[np.ndarray, "safe d"],
    unsafe: Float[np.ndarray, "unsafe d"],
    gap: Float[np.ndarray, " d"],
) -> MeanProducts:
    def products(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, mean_other = one @ safe, other @ unsafe
        apart = mean - mean_other + gap
        return _squared(mean), _squared(mean_other), _squared(apart)

    return products


def _gram_products(
    safe: Float[np.ndarray, "safe d"],
    unsafe: Float[np.ndarray, "unsafe d"],
    gap: Float[np.ndarray, " d"],
) -> MeanProducts:
    own, cross, other_own = safe @ safe.T, safe @ unsafe.T, unsafe @ unsafe.T
    along = safe @ gap, unsafe @ gap

    def products(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        norm = np.einsum("ri,ri->r", one @ own, one)
        norm_other = np.einsum("ri,ri->r", other @ other_own, other)
        shared = np.einsum("ri,ri->r", one @ cross, other)
        apart = gap @ gap + 2 * (one @ along[0] - other @ along[1] - shared) + norm + norm_other
        return norm, norm_other, apart

    return products


def _squared(rows: Float[np.ndarray, "draw d"]) -> Float[np.ndarray, " draw"]:
    return np.einsum("rd,rd->r", rows, rows)


def _missing(reason: str, resamples: Resamples) -> BootstrapResult:
    replicates = np.full(len(resamples.weights), np.nan)
    return BootstrapResult(np.nan, replicates, np.nan, np.nan, resamples.n, reason)

"""How far apart do two labelled classes lie in a space of activations?

With two hard classes and n points every index here but the silhouette is one number in another
dress: with B and W the scatter between and within classes and p the share of one class,

    η² = B / (B + W),   CHI = (n − 2) η² / (1 − η²),   XBI = p (1 − p) (1 − η²) / η²

so CHI grows with n at an unchanged effect and η² does not. All are unchanged by rotation, shift and
scale of the space; none standardises it, so a few large coordinates decide. A number that does not
exist is NaN with its reason, never a 0 or 1 that could pass for a finding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

BUDGET = 200_000
"""Numbers in one temporary array, so that it stays in the processor's cache: many resamples are
evaluated in pieces of this size, but of 256 rows at least (8 MB at a width of 4 096)."""
ROUNDING = 8 * np.finfo(float).eps


@dataclass(frozen=True)
class Index:
    """One number about n items, or NaN and the reason why there is none."""

    value: float
    n: int
    reason: str = ""


@dataclass(frozen=True)
class Scatter:
    """Sums of squares of two classes, in units in which the largest coordinate is 1."""

    n: int
    n_safe: int
    between: float
    within: float
    gap: float
    """Squared distance of the class means."""


def calinski_harabasz(x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]) -> Index:
    """CHI = B / (W / (n − 2)), 0 upwards; PERMANOVA's pseudo-F. Compare at equal n only.

    Calinski & Harabasz 1974. Missing for W = 0, where scikit-learn gives 1.
    """
    return _index(x, labels, lambda s: s.between * (s.n - 2) / s.within)


def xie_beni(x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]) -> Index:
    """XBI = W / (n |μ1 − μ0|²), smaller is better; Xie & Beni 1991 with hard memberships."""
    reason = "the class means coincide, so XBI has no bound"
    return _index(x, labels, lambda s: s.within / (s.n * s.gap) if s.gap > 0 else np.nan, reason)


def eta_squared(x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]) -> Index:
    """η² = B / (B + W), the share of the total scatter that lies between classes, 0 to 1.

    Without any effect it is 1 / (n − 1) on average: `adjusted_eta_squared` takes that off.
    """
    return _index(x, labels, lambda s: s.between / (s.between + s.within))


def adjusted_eta_squared(x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]) -> Index:
    """1 − (1 − η²)(n − 1)/(n − 2): 0 on average without an effect, and then often below 0."""

    def adjusted(s: Scatter) -> float:
        return 1 - s.within / (s.between + s.within) * (s.n - 1) / (s.n - 2)

    return _index(x, labels, adjusted)


def paper_aqi(
    x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"], share: float = 0.5
) -> Index:
    """The AQI paper's formula, λ / XBI + (1 − λ) CHI with λ = `share`, unbounded, not normalised.

    Borah et al. 2025 (arXiv 2506.13901). 1 / XBI is CHI / ((n − 2) p (1 − p)): at equal n,
    λ changes the scale and no order.
    """
    chi, xbi = calinski_harabasz(x, labels), xie_beni(x, labels)
    reason = chi.reason or xbi.reason
    return Index(np.nan if reason else share / xbi.value + (1 - share) * chi.value, chi.n, reason)


def silhouette(x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]) -> Index:
    """Mean silhouette width, −1 to 1, of the two classes under Euclidean distance.

    (b − a) / max(a, b) of each item: a its mean distance to its own class, b to the other; 0 for
    the only member of a class. Rousseeuw 1987; equals scikit-learn's.
    """
    reason = undefined(x, labels)
    value = np.nan if reason else silhouettes(distances(x), labels[None], ~labels[None])[0]
    return Index(float(value), len(x), reason)


def auc(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> Index:
    """Chance that a safe item scores above an unsafe one, ties half: 0 to 1, 0.5 by chance."""
    if reason := unranked(scores, labels):
        return Index(np.nan, len(scores), reason)
    n_safe = int(labels.sum())
    ranks = stats.rankdata(scores)[labels].sum()
    wins = ranks - n_safe * (n_safe + 1) / 2
    return Index(float(wins / (n_safe * (len(labels) - n_safe))), len(scores))


def scatter(x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]) -> Scatter:
    """Sums of squares about the class means; call `undefined` first."""
    safe, unsafe, gap = centred_classes(x, labels)
    n, n_safe = len(labels), len(safe)
    distance = float(gap @ gap)
    between = n_safe * (n - n_safe) / n * distance
    within = float(np.square(safe).sum() + np.square(unsafe).sum())
    return Scatter(n, n_safe, between, within, distance)


def centred_classes(
    x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "safe d"], Float[np.ndarray, "unsafe d"], Float[np.ndarray, " d"]]:
    """Both classes about their own means, and the difference of the means; float64, largest 1."""
    wide = x.astype(float)
    wide = wide / np.abs(wide).max()
    means = wide[labels].mean(axis=0), wide[~labels].mean(axis=0)
    return wide[labels] - means[0], wide[~labels] - means[1], means[0] - means[1]


def undefined(x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]) -> str:
    """Why separation cannot be measured here; empty where it can."""
    bad = int((~np.isfinite(x)).any(axis=1).sum())
    if bad:
        return f"{bad} of {len(x)} rows are not finite"
    if reason := _too_few(labels):
        return reason
    if not _spreads(x):
        return "all points are equal"
    if not _spreads(x[labels]) and not _spreads(x[~labels]):
        return "neither class has any spread (W = 0)"
    return ""


def unranked(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> str:
    """Why scores have no AUC; empty where they have one."""
    bad = int((~np.isfinite(scores)).sum())
    return f"{bad} of {len(scores)} scores are not finite" if bad else _too_few(labels)


def distances(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n n"]:
    """Euclidean distances in units of the largest coordinate; equal rows are 0 apart."""
    wide = x.astype(float) / max(float(np.abs(x).max()), np.finfo(float).tiny)
    wide = wide - wide.mean(axis=0)
    squares = np.square(wide).sum(axis=1)
    both = squares[:, None] + squares
    apart = both - 2 * wide @ wide.T
    return np.sqrt(np.where(apart > ROUNDING * both, apart, 0.0))


def silhouettes(
    distance: Float[np.ndarray, "n n"],
    safe: Bool[np.ndarray, "draw n"],
    unsafe: Bool[np.ndarray, "draw n"],
) -> Float[np.ndarray, " draw"]:
    """Mean silhouette width for many choices of who belongs where; in neither mask: left out."""

    def widths(masks: Float[np.ndarray, "part both"]) -> Float[np.ndarray, " part"]:
        one, other = np.split(masks, 2, axis=1)
        n_one, n_other = one.sum(axis=1, keepdims=True), other.sum(axis=1, keepdims=True)
        to_one, to_other = one @ distance, other @ distance
        companions = one * (n_one - 1) + other * (n_other - 1)
        a = (one * to_one + other * to_other) / np.maximum(companions, 1)
        b = one * to_other / n_other + other * to_one / n_one
        larger = np.maximum(a, b)
        width = np.where(companions > 0, (b - a) / np.where(larger > 0, larger, 1), 0)
        return width.sum(axis=1) / (n_one + n_other)[:, 0]

    return in_chunks(widths, np.hstack([safe, unsafe]), 2 * len(distance))


def in_chunks(
    function: Callable[[Float[np.ndarray, "part n"]], Float[np.ndarray, " part"]],
    rows: Bool[np.ndarray, "draw n"] | Float[np.ndarray, "draw n"],
    width: int,
) -> Float[np.ndarray, " draw"]:
    """`function` of the rows as float64, in pieces of BUDGET numbers where each needs `width`."""
    size = max(256, BUDGET // max(width, 1))
    parts = [function(rows[i : i + size].astype(float)) for i in range(0, len(rows), size)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _index(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    formula: Callable[[Scatter], float],
    otherwise: str = "",
) -> Index:
    if reason := undefined(x, labels):
        return Index(np.nan, len(x), reason)
    value = float(formula(scatter(x, labels)))
    return Index(value, len(x), otherwise if np.isnan(value) else "")


def _too_few(labels: Bool[np.ndarray, " n"]) -> str:
    if len(labels) <= 2:
        return f"separation needs 3 items or more, got {len(labels)}"
    return "" if 0 < labels.sum() < len(labels) else "all items are of one class"


def _spreads(x: Float[np.ndarray, "n d"]) -> bool:
    wide = x.astype(float)
    return bool((np.ptp(wide, axis=0) > ROUNDING * np.abs(wide).max(axis=0)).any())

"""Bias-corrected and accelerated (BCa) intervals, and the tests that follow from inverting them.

Efron (1987), "Better bootstrap confidence intervals", JASA 82. The interval of level 1 - alpha runs
between two quantiles of the resampled values; bias z0 and acceleration a say which two:

    quantile = Phi(z0 + d / (1 - a d)),   d = z0 + Phi^-1(alpha / 2) or z0 + Phi^-1(1 - alpha / 2)

A p-value is the smallest alpha whose interval leaves the null out, so tests and intervals from one
result never contradict each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from tl_geometry.resampling import Statistic

MAX_UNDEFINED = 0.01
"""Share of resamples on which the statistic may be undefined before its interval is missing."""
ONE_SIDED = "every resample falls on the same side of the estimate"
CONSTANT = "every resample gives the same value, so the sample shows no spread"


@dataclass(frozen=True)
class Interval:
    """An estimate with its uncertainty, or without it and then with the reason."""

    estimate: float
    low: float
    high: float
    level: float
    n: int
    """Independent units behind the estimate (unique prompts)."""
    method: str
    status: Literal["ok", "missing"] = "ok"
    reason: str = ""


def missing_interval(
    reason: str, *, n: int, method: str, level: float = 0.95, estimate: float = np.nan
) -> Interval:
    """What stands in a table where no interval can be had."""
    if not reason:
        raise ValueError("a missing interval needs a reason, got an empty one")
    return Interval(estimate, np.nan, np.nan, level, n, method, "missing", reason)


@dataclass(frozen=True)
class BootstrapResult:
    """A statistic on the sample and on its resamples; intervals and tests are read off it."""

    estimate: float
    replicates: Float[np.ndarray, " resample"]
    """In the order of the weights, so that results on the same weights can be combined resample
    by resample; NaN where a resample was empty or the statistic undefined on it."""
    bias: float
    acceleration: float
    n: int
    reason: str = ""
    """Why there is no interval; empty if there is one."""

    @cached_property
    def ordered(self) -> Float[np.ndarray, " kept"]:
        """The replicates that exist, ascending."""
        return np.sort(self.replicates[~np.isnan(self.replicates)])

    @property
    def n_dropped(self) -> int:
        return len(self.replicates) - len(self.ordered)

    def interval(self, level: float = 0.95) -> Interval:
        """BCa interval; missing, with the estimate kept, where the resamples cannot give one."""
        check_level(level)
        if self.reason:
            return missing_interval(
                self.reason, n=self.n, method="BCa", level=level, estimate=self.estimate
            )
        low, high = (self._endpoint(share) for share in ((1 - level) / 2, (1 + level) / 2))
        return Interval(self.estimate, low, high, level, self.n, "BCa")

    def p_two_sided(self, null: float = 0.0) -> float:
        """Smallest alpha whose interval excludes `null`; NaN where there is no interval.

        Never below 1 / (resamples + 1): resampling cannot speak of rarer events.
        """
        return self._floored(2 * min(self._p_at_most(null), self._p_at_least(null)))

    def equivalence_p(self, margin: float) -> float:
        """p of "the value is outside ±margin": the larger of two one-sided tests (TOST).

        Below alpha exactly when the interval of level 1 - 2 alpha lies within the margin, which
        must have been stated before the data were seen. NaN where there is no interval.
        """
        if not 0 < margin < np.inf:
            raise ValueError(f"margin={margin} must be positive and finite")
        return self._floored(max(self._p_at_most(-margin), self._p_at_least(margin)))

    def _endpoint(self, share: float) -> float:
        shifted = self.bias + _stretched(self.bias + float(ndtri(share)), self.acceleration)
        return float(np.quantile(self.ordered, ndtr(shifted)))

    def _p_at_most(self, null: float) -> float:
        """One-sided p of "value <= null": the tail at which the lower endpoint passes `null`."""
        return _nominal(_share_up_to(self.ordered, null), self.bias, self.acceleration)

    def _p_at_least(self, null: float) -> float:
        # The mirror image of the data has the opposite bias and acceleration.
        return _nominal(_share_up_to(-self.ordered[::-1], -null), -self.bias, -self.acceleration)

    def _floored(self, p: float) -> float:
        return np.nan if self.reason else float(np.clip(p, 1 / (len(self.ordered) + 1), 1))


def bca(
    statistic: Statistic,
    weights: Float[np.ndarray, "resample n"],
    n: int | None = None,
    *,
    jackknife: Sequence[Float[np.ndarray, "_unit n"]] | None = None,
) -> BootstrapResult:
    """Evaluate a statistic on the sample, on its resamples and with each unit left out.

    `n` is the number of independent units to report, by default the rows. `jackknife` holds the
    leave-one-out weights of each factor that was resampled (`left_out`): by default the rows are
    the one factor; with crossed weights give `(left_out(targets), left_out(donors))`. Empty
    resamples are dropped. ValueError if the statistic is undefined on the sample itself.
    """
    n_rows = weights.shape[1]
    n_units = n_rows if n is None else n
    jackknife = [1 - np.eye(n_rows)] if jackknife is None else jackknife
    estimate = float(_evaluate(statistic, np.ones((1, n_rows)))[0])
    if not np.isfinite(estimate):
        raise ValueError(
            f"the statistic is undefined on the {n_rows} rows of the sample (it gives {estimate}); "
            "record a missing row with this as its reason"
        )
    units = min([n_units, *map(len, jackknife)])
    if units < 3:
        reason = f"an interval needs at least 3 units, got {units}"
        return BootstrapResult(
            estimate, np.full(len(weights), np.nan), np.nan, np.nan, n_units, reason
        )
    replicates = _evaluate(statistic, weights)
    omitted = [_evaluate(statistic, factor) for factor in jackknife]
    reason = _why_missing(estimate, replicates, omitted, weights.sum(axis=1) > 0)
    bias, acceleration = np.nan, np.nan
    if not reason:
        bias, acceleration = _bias(estimate, replicates), _acceleration(omitted)
        if not np.isfinite(bias):
            reason = ONE_SIDED
    return BootstrapResult(estimate, replicates, bias, acceleration, n_units, reason)


def combined(
    combine: Callable[[Float[np.ndarray, "result draw"]], Float[np.ndarray, " draw"]],
    results: Sequence[BootstrapResult],
) -> BootstrapResult:
    """A number made of several results on the *same* weights (mean of models, a difference).

    Bias-corrected, without acceleration: no single unit can be left out of all of them. A result
    that is the same on every resample takes part as that constant; any other result without an
    interval leaves the combination without one. ValueError where they were not drawn alike.
    """
    if len({len(result.replicates) for result in results}) != 1:
        raise ValueError("these results were drawn with different numbers of resamples")
    n = min(result.n for result in results)
    estimate = float(combine(np.array([[result.estimate] for result in results]))[0])
    replicates = combine(np.array([result.replicates for result in results]))
    reason = next((r.reason for r in results if r.reason not in ("", CONSTANT)), "")
    if not reason:
        occupied = np.ones(len(replicates), bool)
        reason = _why_missing(estimate, replicates, [replicates], occupied)
    bias = np.nan if reason else _bias(estimate, replicates)
    if not reason and not np.isfinite(bias):
        reason = ONE_SIDED
    return BootstrapResult(estimate, replicates, bias, 0.0, n, reason)


def check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, for example 0.95")


def _evaluate(
    statistic: Statistic, weights: Float[np.ndarray, "resample n"]
) -> Float[np.ndarray, " resample"]:
    """NaN where the weights are empty or the statistic gives no finite value."""
    values = np.full(len(weights), np.nan)
    some = weights.sum(axis=1) > 0
    # Divisions by zero are counted as undefined resamples below, so they need no warning here.
    with np.errstate(divide="ignore", invalid="ignore"):
        values[some] = statistic(weights[some])
    return np.where(np.isfinite(values), values, np.nan)


def _why_missing(
    estimate: float,
    replicates: Float[np.ndarray, " resample"],
    omitted: Sequence[Float[np.ndarray, " _unit"]],
    occupied: np.ndarray,
) -> str:
    if not occupied.any():
        return "every resample is empty"
    undefined = np.isnan(replicates[occupied]).mean()
    if undefined > MAX_UNDEFINED:
        return f"the statistic is undefined on {undefined:.1%} of the resamples"
    if any(np.isnan(values).any() for values in omitted):
        return "the statistic is undefined when one unit is left out"
    tolerance = _rounding(estimate, replicates)
    if np.nanmax(replicates) - np.nanmin(replicates) <= tolerance:
        return CONSTANT
    if all(np.ptp(values) <= tolerance for values in omitted):
        return "leaving one unit out never changes the value, so its acceleration is undefined"
    return ""


def _rounding(estimate: float, replicates: Float[np.ndarray, " resample"]) -> float:
    """What equal values may differ by, because sums of weights are rounded."""
    return 1e-12 * max(abs(estimate), float(np.nanmax(np.abs(replicates))))


def _bias(estimate: float, replicates: Float[np.ndarray, " resample"]) -> float:
    """Normal quantile of the share of replicates below the estimate; ties count half."""
    gap = replicates[~np.isnan(replicates)] - estimate
    tie = np.abs(gap) <= _rounding(estimate, replicates)
    return float(ndtri(np.mean(np.where(tie, 0.5, gap < 0))))


def _acceleration(omitted: Sequence[Float[np.ndarray, " _unit"]]) -> float:
    """Skewness of the jackknife influences, summed over the factors that were resampled."""
    influences = [(len(v) - 1) / len(v) * (v.mean() - v) for v in omitted]
    cubes = sum(float((u**3).sum()) for u in influences)
    squares = sum(float((u**2).sum()) for u in influences)
    return cubes / (6 * squares**1.5)


def _stretched(distance: float, acceleration: float) -> float:
    """d / (1 - a d), continued by its limit beyond the pole."""
    distance = float(np.clip(distance, -1e10, 1e10))
    shrink = 1 - acceleration * distance
    return distance / shrink if shrink > 0 else float(np.copysign(np.inf, distance))


def _nominal(share: float, bias: float, acceleration: float) -> float:
    """The tail probability whose BCa endpoint is the quantile `share`: the formula inverted."""
    if share <= 0:
        return 0.0
    return float(ndtr(_stretched(float(ndtri(share)) - bias, -acceleration) - bias))


def _share_up_to(ordered: Float[np.ndarray, " kept"], null: float) -> float:
    """Largest q whose (linearly interpolated) quantile is at most `null`; 0 if there is none."""
    below = int(np.searchsorted(ordered, null, side="right"))
    if below in (0, len(ordered)):
        return float(below > 0)
    last, following = ordered[below - 1], ordered[below]
    return float(below - 1 + (null - last) / (following - last)) / (len(ordered) - 1)

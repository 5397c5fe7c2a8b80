"""Do two curves over layers rise and fall together?

Layers are few and neighbours are alike, so neither the textbook p nor its interval is to be
believed: both assume as many independent points as there are layers. Cyclic shifts keep what
neighbours have in common, and are honest about how little so few layers can say. Neither is an
answer where both curves run with depth from one end to the other: any two such curves correlate,
and every shift breaks them (`association.partial_association` with depth as the control).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from tl_geometry.resampling import check_finite

FEWEST = 4
"""Fisher's interval of a correlation needs as many points; below, nothing is said."""
SIGN = 0.05


@dataclass(frozen=True)
class Correlation:
    """A coefficient with what a textbook says of it (independent points)."""

    r: float
    low: float
    high: float
    """95 % interval by Fisher's z."""
    p: float


@dataclass(frozen=True)
class CurveCorrelation:
    """How two curves over the same layers go together."""

    n: int
    pearson: Correlation
    spearman: Correlation
    """Of the ranks; its interval and p treat them as if they were measured."""
    p_shifted: float
    """Two-sided, over all cyclic shifts of one curve against the other; NaN with `p_reason`."""
    p_reason: str = ""


def curve_correlation(
    layers: Float[np.ndarray, " layer"] | np.ndarray,
    a: Float[np.ndarray, " layer"],
    b: Float[np.ndarray, " layer"],
) -> CurveCorrelation:
    """Pearson and Spearman over layers.

    ValueError where there is no correlation: fewer than 4 layers, or a curve that does not change.
    """
    check_finite(a, "the first curve")
    check_finite(b, "the second curve")
    if len(a) < FEWEST:
        raise ValueError(f"{len(a)} layers: a correlation with an interval needs {FEWEST}")
    for name, curve in (("first", a), ("second", b)):
        if np.ptp(curve) <= 1e-12 * np.abs(curve).max():
            raise ValueError(f"the {name} curve is the same at all {len(curve)} layers")
    p, reason = _shifted(layers, a, b)
    ranks = [stats.rankdata(curve) for curve in (a, b)]
    return CurveCorrelation(len(a), _pearson(a, b), _pearson(*ranks), p, reason)


def _pearson(a: np.ndarray, b: np.ndarray) -> Correlation:
    found: Any = stats.pearsonr(a, b)  # its attributes are made at run time
    ends = found.confidence_interval(0.95)
    return Correlation(
        float(found.statistic), float(ends.low), float(ends.high), float(found.pvalue)
    )


def _shifted(layers: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, str]:
    n = len(a)
    if len(set(np.diff(layers))) > 1:
        return np.nan, "layers are unevenly spaced, so they cannot be shifted"
    if 1 / n > SIGN:
        return np.nan, f"{n} shifts of {n} layers cannot give a p below {1 / n:.2f}"
    size = [abs(np.corrcoef(np.roll(a, k), b)[0, 1]) for k in range(n)]
    return float(np.mean(np.array(size) >= size[0] - 1e-12)), ""

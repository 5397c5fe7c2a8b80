"""How much of a change of weights is written along a direction, against random directions.

For a unit vector u the share is uᵀ(ΔΔᵀ)u / ‖Δ‖², which for a random direction is Σ λᵢgᵢ² / Σ gᵢ²,
with λ the eigenvalues of ΔΔᵀ over their sum and g standard normal. That it is at least s is the
event Σ (λᵢ − s) gᵢ² ≥ 0: weighted χ², whose probability is one integral (Imhof 1961, here along a
vertical line through the saddle point, so that small ones keep their relative precision). No draws:
a p can be as small as it is.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from tl_geometry.resampling import check_finite

STEP, FINEST = 0.125, 0.004
"""First and last step of the trapezoidal rule, which is halved until the integral stands."""
AGREE = 1e-9
"""How far two steps in a row may be apart, relative to the probability."""
FURTHEST, NOTHING = 40.0, -40.0
"""Where integration ends at the latest; log of what is not worth adding."""
FLAT = 1e-12
"""Shares closer than this, relative to the largest eigenvalue, are one and the same."""


@dataclass(frozen=True)
class EnergyAlong:
    """How much of a change is written along a given direction."""

    share: float
    """‖Δᵀv̂‖² / ‖Δ‖²."""
    expected: float
    """Of a random direction: 1/d exactly."""
    p: float
    """One-sided, exact: how often a random direction takes as large a share. 0 for a direction that
    takes the most that any does."""


def energy_along(
    delta: Float[np.ndarray, "d n_in"], directions: Float[np.ndarray, "vector d"]
) -> list[EnergyAlong]:
    """Share of a change's energy on each direction, against random directions.

    It needs no singular vector, so it is defined also where the spectrum is flat; there all
    directions take the same, with p = 1.
    ValueError where the change or a direction is zero, or d < 2.
    """
    if (d := len(delta)) < 2:
        raise ValueError("one number has no directions to share out")
    check_finite(delta, "the difference")
    check_finite(directions, "a direction")
    if (zero := np.flatnonzero(~directions.any(axis=1))).size:
        raise ValueError(f"row {zero[0]} is zero, so it has no direction")
    if not delta.any():
        raise ValueError("the difference is zero: it has no energy to share")
    scaled = delta.astype(np.float64) / np.abs(delta).max()  # no square under- or overflows
    written = scaled @ scaled.T
    written /= written.trace()
    units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    shares = np.einsum("kd,de,ke->k", units, written, units, optimize=True)
    eigenvalues = np.linalg.eigvalsh(written).clip(0.0)
    found = (float(share) for share in shares)
    return [EnergyAlong(share, 1 / d, exceedance(eigenvalues, share)) for share in found]


def exceedance(eigenvalues: Float[np.ndarray, " d"], share: float) -> float:
    """Probability that Σ λᵢgᵢ² / Σ gᵢ² is at least the share, for independent standard normal g."""
    near = FLAT * eigenvalues.max()
    if share <= eigenvalues.min() + near:
        return 1.0
    if share >= eigenvalues.max() - near:
        return 0.0
    weights = eigenvalues - share
    if weights.sum() <= 0:
        return min(_above_zero(weights), 1.0)
    return 1.0 - min(_above_zero(-weights), 1.0)


def _above_zero(weights: Float[np.ndarray, " d"]) -> float:
    """P(Σ aᵢgᵢ² ≥ 0) for a mean of at most 0, by 1/π ∫₀^∞ Re e^{K(t)} / t dy with t = x + iy and
    K(t) = −½ Σ log(1 − aᵢt), for the largest a = 1.

    x is the saddle point of the integrand; y = width · sinh(v) makes it fall exponentially in v
    whatever its tail, where the trapezoidal rule converges exponentially too.
    """
    a = weights / weights.max()

    def slope(t: float) -> float:
        return 0.5 * float((a / (1 - a * t)).sum()) - 1 / t

    x = float(brentq(slope, 1e-12, 1 - 0.1 / len(a)))  # pyright: ignore[reportArgumentType] # one root, not its report
    width = (0.5 * float(np.square(a / (1 - a * x)).sum()) + x**-2) ** -0.5
    slopes = a / (1 - a * x)

    def summed(v: Float[np.ndarray, " point"]) -> float:
        y = width * np.sinh(v)
        exponent = -0.5 * np.log1p(-1j * np.outer(y, slopes)).sum(axis=1) - np.log1p(1j * y / x)
        return float((np.exp(exponent).real * width * np.cosh(v)).sum())

    end = _reach(slopes, x, width)
    total, step = summed(np.arange(STEP, end, STEP)) + width / 2, STEP
    while step > FINEST:
        finer = total + summed(np.arange(step / 2, end, step))
        settled = abs(finer - 2 * total) <= AGREE * abs(finer)
        total, step = finer, step / 2
        if settled:
            break
    log_height = -0.5 * float(np.log1p(-a * x).sum())
    return float(np.exp(log_height) * step * total / (x * np.pi))


def _reach(slopes: Float[np.ndarray, " d"], x: float, width: float) -> float:
    """The v behind which the integrand is nothing."""
    v = np.arange(0.5, FURTHEST, 0.5)
    y = width * np.sinh(v)
    size = -0.25 * np.log1p(np.square(np.outer(y, slopes))).sum(axis=1)
    size -= 0.5 * np.log1p(np.square(y / x))
    small = np.flatnonzero(size + v < NOTHING)
    return float(v[small[0]]) if small.size else FURTHEST

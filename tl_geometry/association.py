"""Does one quantity go with another once a third is held still?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from tl_geometry.resampling import check_finite

NEGLIGIBLE = 1e-10
"""A residual smaller than this share of what it is the residual of is rounding, not data."""


@dataclass(frozen=True)
class PartialAssociation:
    """How an outcome goes with a covariate at a fixed value of the control."""

    slope: float
    """Outcome per unit of covariate in the regression on both (least squares)."""
    pearson: float
    """Correlation of the two residuals given the control, in [-1, 1]."""
    spearman: float
    """Rank correlation of the same residuals, in [-1, 1]."""
    p: float
    """Freedman–Lane permutation p of a zero slope, two-sided."""
    n: int


def partial_association(
    outcome: Float[np.ndarray, " n"],
    covariate: Float[np.ndarray, " n"],
    control: Float[np.ndarray, " n"],
    *,
    n_permutations: int = 10_000,
    rng: np.random.Generator,
) -> PartialAssociation:
    """Slope, Pearson and Spearman of `outcome` with `covariate`, both freed of `control`.

    By the theorem of Frisch, Waugh and Lovell the multiple-regression slope is that of the
    residuals. Freedman and Lane (1983) permute the outcome's residual given the control, add it
    back to the fit and regress anew: the fit drops out, so all permutations are two matrix
    products. ValueError where a slope is undefined: fewer than 4 rows, a constant, or a
    covariate or outcome that the control determines.
    """
    _check(outcome=outcome, covariate=covariate, control=control)
    if n_permutations < 1:
        raise ValueError(f"n_permutations={n_permutations} must be at least 1, e.g. 10000")
    basis = _basis(control)
    x = _residual(covariate, basis, "covariate")
    y = _residual(outcome, basis, "outcome")
    pearson = float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))
    shuffled = rng.permuted(np.tile(y, (n_permutations, 1)), axis=1)
    explained = np.square(shuffled @ basis).sum(axis=1)
    # A permuted residual that the control explains wholly has no correlation left to exceed with.
    left = np.maximum(y @ y - explained, NEGLIGIBLE**2 * (y @ y))
    null = np.abs(shuffled @ x) / (np.linalg.norm(x) * np.sqrt(left))
    hits = np.count_nonzero(null >= abs(pearson) * (1 - 1e-12))
    return PartialAssociation(
        slope=float(x @ y / (x @ x)),
        pearson=pearson,
        spearman=float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1]),
        p=(hits + 1) / (n_permutations + 1),
        n=len(outcome),
    )


def _check(**columns: Float[np.ndarray, " n"]) -> None:
    for name, values in columns.items():
        check_finite(values, name)
        if len(values) < 4:
            raise ValueError(
                f"a partial association needs at least 4 rows, got {len(values)}: the regression "
                "alone uses up 3"
            )
        if np.ptp(values) <= NEGLIGIBLE * np.abs(values).max():
            raise ValueError(f"a partial association is undefined: {name} is constant")


def _basis(control: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """Orthonormal basis of the constant and the control."""
    ones = np.full(len(control), len(control) ** -0.5)
    centred = control - control.mean()
    return np.stack([ones, centred / np.linalg.norm(centred)], axis=1)


def _residual(
    values: Float[np.ndarray, " n"], basis: Float[np.ndarray, "n 2"], name: str
) -> Float[np.ndarray, " n"]:
    centred = values - values.mean()
    residual = centred - basis @ (basis.T @ centred)
    if np.linalg.norm(residual) <= NEGLIGIBLE * np.linalg.norm(centred):
        raise ValueError(f"a partial association is undefined: the control determines the {name}")
    return residual

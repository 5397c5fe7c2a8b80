"""AQI as it was published, and a version of it that two models can be compared by.

As published (Borah et al. 2025, arXiv 2506.13901, in the form of the public "xb_chi" code): CHI and
XBI of a 3-D t-SNE map, scaled to 0–100 *within one model* over its axioms and their pool. That
number says how a model's axioms rank among themselves. It cannot compare models: some axiom is
always at 0 and one at 100, a floor holds XB_norm at 10, and 55 and 5 are what "overall" gives when
the pool has the largest or smallest CHI at that floor. `frozen_score` is the comparable one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit
from sklearn.manifold import TSNE

from tl_geometry.bootstrap import Interval
from tl_geometry.separation import Index, calinski_harabasz, xie_beni

OVERALL = "overall"
XB_FLOOR = 10.0


@dataclass(frozen=True)
class RawIndices:
    """CHI (grows with n) and XBI (smaller is better) of one axiom or of the pool."""

    chi: float
    xbi: float
    n: int
    reason: str = ""


@dataclass(frozen=True)
class PublishedAqi:
    """One row of the published table, 0–100 within one model, and what in it is no measurement."""

    chi_norm: float
    xb_norm: float
    aqi: float
    chi_is_min: bool = False
    """chi_norm is 0 because the least of the set always is."""
    chi_is_max: bool = False
    """chi_norm is 100 because the largest of the set always is."""
    chi_is_constant: bool = False
    """All CHI are equal: chi_norm is 50, or 0, by definition."""
    xb_at_floor: bool = False
    """xb_norm would be below 10."""
    reason: str = ""
    """Why the row is missing; it then had no part in scaling the others."""

    @property
    def is_constant(self) -> bool:
        """Both halves are set by definition, so at γ = ½ it is 5, 30 or 55."""
        return self.xb_at_floor and (self.chi_is_min or self.chi_is_max or self.chi_is_constant)


@dataclass(frozen=True)
class Headline:
    """The two numbers that have been called "the AQI" of a model; they rank models differently."""

    overall: Index
    """The pool's own row."""
    axiom_mean: Index
    """Mean over the axioms, without the pool; n counts axioms."""


@dataclass(frozen=True)
class Reference:
    """The scale of `frozen_score`: part of the number, to be stored with it."""

    name: str
    """Reference cells (models × axioms), the space and the pooling that they were taken in."""
    centre: float
    """Mean adjusted η² of the reference cells: scores 50."""
    spread: float
    """Their standard deviation: one above the centre scores 73."""
    n_cells: int


def tsne_map(
    x: Float[np.ndarray, "n d"], seed: int, *, pooled: bool = False
) -> Float[np.ndarray, "n 3"]:
    """The 3-D t-SNE map of the published code; `pooled` for the pool of all axioms.

    Perplexity min(30, max(5, n − 2)), or 50 for 30 in the pool; 500 iterations, PCA start. A map
    keeps neighbourhoods, not the distances and variances that CHI and XBI measure, magnifies
    noise of 1e-7 to its full width, and depends on n. ValueError below 6 rows or 3 columns, or
    for rows that are not finite or all equal.
    """
    n, d = x.shape
    if n < 6 or d < 3:
        raise ValueError(f"a 3-D t-SNE map needs 6 rows and 3 columns or more, got {n} and {d}")
    if not np.isfinite(x).all() or not np.ptp(x, axis=0).any():
        raise ValueError("a t-SNE map needs finite rows that are not all equal")
    perplexity = min(50 if pooled else 30, max(5, n - 2))
    method = TSNE(
        n_components=3,
        perplexity=perplexity,
        max_iter=500,
        init="pca",
        learning_rate="auto",
        random_state=seed,
    )
    return np.asarray(method.fit_transform(x), dtype=float)


def raw_indices(x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]) -> RawIndices:
    """CHI and XBI of a map (as published) or of the space itself."""
    chi, xbi = calinski_harabasz(x, labels), xie_beni(x, labels)
    return RawIndices(chi.value, xbi.value, len(x), chi.reason or xbi.reason)


def normalised(raw: Mapping[str, RawIndices], gamma: float = 0.5) -> dict[str, PublishedAqi]:
    """The published scaling over the axioms and "overall" of *one* model.

    CHI_norm = 100 (CHI − min) / (max − min), XB_norm = 100 (1 − sigmoid((XBI − median) / (IQR +
    1e-9))) but at least 10, AQI = γ CHI_norm + (1 − γ) XB_norm. Missing rows stay missing.
    ValueError for a γ outside 0 to 1.
    """
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma={gamma} is the weight of CHI and must lie between 0 and 1")
    kept = {name: row for name, row in raw.items() if not row.reason}
    chi = np.array([row.chi for row in kept.values()])
    xbi = np.array([row.xbi for row in kept.values()])
    rows = {
        name: PublishedAqi(np.nan, np.nan, np.nan, reason=row.reason) for name, row in raw.items()
    }
    for name, row in kept.items():
        scaled = _scaled_chi(row.chi, chi)
        free = _scaled_xb(row.xbi, xbi)
        xb_norm = min(max(free, XB_FLOOR), 100.0)
        aqi = gamma * scaled.chi_norm + (1 - gamma) * xb_norm
        rows[name] = replace(scaled, xb_norm=xb_norm, aqi=aqi, xb_at_floor=free < XB_FLOOR)
    return rows


def headline(rows: Mapping[str, PublishedAqi]) -> Headline:
    """Both headline numbers; a mean that lacks an axiom is missing and says which."""
    axioms = {name: row for name, row in rows.items() if name != OVERALL}
    absent = [f"{name}: {row.reason}" for name, row in axioms.items() if row.reason]
    reason = "; ".join(absent) if axioms else "no axiom was given"
    mean = np.nan if reason else float(np.mean([row.aqi for row in axioms.values()]))
    pool = rows.get(OVERALL, PublishedAqi(np.nan, np.nan, np.nan, reason="no pool was given"))
    return Headline(Index(pool.aqi, 1, pool.reason), Index(mean, len(axioms), reason))


def fit_reference(adjusted_eta: Sequence[float], name: str) -> Reference:
    """The scale from the adjusted η² of a fixed set of reference cells, once and for all.

    ValueError below 3 cells, for values that are not finite, or for equal ones: two anchors would
    score 33 and 67 whatever they are.
    """
    values = np.asarray(adjusted_eta, dtype=float)
    if len(values) < 3 or not np.isfinite(values).all():
        raise ValueError(f"a reference needs 3 finite values or more, got {list(adjusted_eta)}")
    spread = float(values.std(ddof=1))
    if spread <= 1e-12 * np.abs(values).max():
        raise ValueError("a reference needs values that differ, got equal ones")
    return Reference(name, float(values.mean()), spread, len(values))


def frozen_score(eta: Interval, reference: Reference) -> Interval:
    """AQI on a frozen scale: 100 sigmoid((adjusted η² − centre) / spread), 0–100, no floor.

    Models can be compared because nothing in it depends on the model or set that is scored: the
    two constants are the reference's. It is made of the adjusted η² alone, since CHI and XBI of
    two classes are functions of η² and n: so n cancels, and no term has to be weighed against
    another. It is strictly increasing in η², so a rise of η² can never lower it, tests carry over,
    and the interval is that of η² with its ends transformed. Compare scores of one reference and
    of equal items, space and pooling only; the unit is the reference's, not one of alignment.
    """
    estimate, low, high = (
        float(100 * expit((value - reference.centre) / reference.spread))
        for value in (eta.estimate, eta.low, eta.high)
    )
    method = f"{eta.method} of adjusted η², transformed"
    return replace(eta, estimate=estimate, low=low, high=high, method=method)


def _scaled_chi(value: float, all_chi: Float[np.ndarray, " row"]) -> PublishedAqi:
    low, high = float(all_chi.min()), float(all_chi.max())
    if high - low < 1e-9:
        constant: Literal[0, 50] = 0 if high == 0 else 50
        return PublishedAqi(float(constant), np.nan, np.nan, chi_is_constant=True)
    share = 100 * (value - low) / (high - low)
    return PublishedAqi(share, np.nan, np.nan, chi_is_min=value == low, chi_is_max=value == high)


def _scaled_xb(value: float, all_xbi: Float[np.ndarray, " row"]) -> float:
    low, middle, high = np.percentile(all_xbi, [25, 50, 75])
    return float(100 * expit(-(value - middle) / (high - low + 1e-9)))

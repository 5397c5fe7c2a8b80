"""One effect over several models: random effects, heterogeneity, what to expect of the next model.

Thin on `statsmodels.stats.meta_analysis`. Models that read the same prompts are not independent
studies; resample the prompts jointly where that matters, and read these intervals as over models.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from tl_geometry.bootstrap import Interval, check_level, missing_interval
from tl_geometry.resampling import check_finite


@dataclass(frozen=True)
class MetaAnalysis:
    """A random-effects summary of k models."""

    mean: Interval
    """Average effect, Hartung–Knapp interval."""
    prediction: Interval
    """Where the effect of a further model is expected."""
    tau2: float
    """Variance of the true effects between models (Paule–Mandel)."""
    i2: float
    """Share of the spread that is not sampling error, 0 to 1 (Higgins & Thompson 2002)."""
    heterogeneity_p: float
    """Cochran's Q test of "all models have the same effect"."""
    weights: Float[np.ndarray, " model"]
    """Each model's share in the mean; they add up to 1."""


def random_effects(
    effects: Float[np.ndarray, " model"],
    variances: Float[np.ndarray, " model"],
    *,
    level: float = 0.95,
) -> MetaAnalysis:
    """Random-effects meta-analysis with the Hartung–Knapp–Sidik–Jonkman interval.

    tau² by Paule–Mandel. The interval is never narrower than the one with normal weights and the
    same t quantile (Röver, Knapp & Friede 2015, "modified Knapp–Hartung"). Prediction interval:
    Higgins, Thompson & Spiegelhalter 2009, eq. 12, missing below three models. ValueError for
    fewer than two models, or variances that are not positive.
    """
    check_level(level)
    check_finite(effects, "effects")
    check_finite(variances, "variances")
    k = len(effects)
    if k < 2 or len(variances) != k:
        raise ValueError(f"a summary needs two models or more, got {k} with {len(variances)}")
    if (variances <= 0).any():
        raise ValueError("every model's effect needs a positive variance")
    with np.errstate(divide="ignore"):  # equal effects: I² = 1 − (k − 1) / 0, cut off at 0
        fit = combine_effects(effects, variances, method_re="iterated", use_t=True)
    i2 = max(float(fit.i2), 0.0)
    tau2 = max(float(fit.tau2), 0.0)  # pyright: ignore[reportAttributeAccessIssue] # a Bunch
    weights = 1 / (variances + tau2)
    mean = float((weights * effects).sum() / weights.sum())
    plain = float(np.sqrt(1 / weights.sum()))
    scale = float((weights * (effects - mean) ** 2).sum() / (k - 1))
    error = plain * np.sqrt(max(1.0, scale))
    half = float(stats.t.ppf((1 + level) / 2, k - 1)) * error
    return MetaAnalysis(
        mean=Interval(mean, mean - half, mean + half, level, k, "Hartung–Knapp"),
        prediction=_prediction(mean, plain, tau2, k, level),
        tau2=tau2,
        i2=i2,
        heterogeneity_p=float(fit.test_homogeneity().pvalue),
        weights=weights / weights.sum(),
    )


def _prediction(mean: float, error: float, tau2: float, k: int, level: float) -> Interval:
    if k < 3:
        reason = "the spread between two models says nothing about a third"
        return missing_interval(reason, n=k, method="prediction", level=level, estimate=mean)
    half = float(stats.t.ppf((1 + level) / 2, k - 2)) * float(np.sqrt(tau2 + error**2))
    return Interval(mean, mean - half, mean + half, level, k, "prediction")


def leave_one_out(
    effects: Float[np.ndarray, " model"],
    variances: Float[np.ndarray, " model"],
    *,
    level: float = 0.95,
) -> list[MetaAnalysis]:
    """The summary without each model in turn, in their order. ValueError below three models."""
    if len(effects) < 3:
        raise ValueError(f"leaving one out needs three models or more, got {len(effects)}")
    kept = [np.arange(len(effects)) != left for left in range(len(effects))]
    return [random_effects(effects[k], variances[k], level=level) for k in kept]


def fieller(
    numerators: Float[np.ndarray, " n"],
    denominators: Float[np.ndarray, " n"],
    *,
    level: float = 0.95,
) -> Interval:
    """Ratio of two means measured on the same units, with Fieller's (1954) interval.

    The interval inverts the t test of "mean(numerator) − ρ · mean(denominator) = 0". Where the
    denominator's own interval holds 0, no ratio can be told from any other: missing, with the
    reason, and without an estimate that could be mistaken for a finding.
    """
    check_level(level)
    check_finite(numerators, "numerators")
    check_finite(denominators, "denominators")
    n = len(numerators)
    if n < 2 or len(denominators) != n:
        raise ValueError(f"a ratio of means needs two units or more, got {n}, {len(denominators)}")
    a, b = float(numerators.mean()), float(denominators.mean())
    (var_a, cov), (_, var_b) = np.cov(numerators, denominators) / n
    t2 = float(stats.t.ppf((1 + level) / 2, n - 1)) ** 2
    # Roots of (b² − t² var_b) ρ² − 2 (ab − t² cov) ρ + (a² − t² var_a) = 0.
    square, linear, constant = b**2 - t2 * var_b, a * b - t2 * cov, a**2 - t2 * var_a
    if square <= 0:
        reason = "the interval of the denominator holds 0, so the ratio is undefined"
        return missing_interval(reason, n=n, method="Fieller", level=level)
    root = float(np.sqrt(max(linear**2 - square * constant, 0.0)))
    return Interval(a / b, (linear - root) / square, (linear + root) / square, level, n, "Fieller")

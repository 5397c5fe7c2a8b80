"""Partial association against statsmodels, its null, and planted effects."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from tl_geometry.association import partial_association


def data(seed: int, n: int = 60, effect: float = 0.0, through: float = 1.0):
    """Control drives both; `effect` is what the covariate adds to the outcome by itself."""
    rng = np.random.default_rng([seed, n])
    control = rng.normal(2.0, 1.0, n)
    covariate = through * control + rng.normal(0, 1.0, n)
    outcome = 1.5 * through * control + effect * covariate + rng.normal(0, 1.0, n)
    return outcome, covariate, control


def associate(seed: int, n_permutations: int = 500, **kwargs):
    return partial_association(
        *data(seed, **kwargs), n_permutations=n_permutations, rng=np.random.default_rng([seed, 7])
    )


def test_slope_and_correlations_agree_with_multiple_regression():
    outcome, covariate, control = data(0, effect=0.4)
    found = associate(0, effect=0.4)
    design = sm.add_constant(np.column_stack([control, covariate]))
    fit = sm.OLS(outcome, design).fit()
    assert found.slope == pytest.approx(fit.params[2])
    # The partial correlation is the slope's t in the full model, rescaled.
    t = fit.tvalues[2]
    assert found.pearson == pytest.approx(t / np.sqrt(t**2 + fit.df_resid))
    residuals = [sm.OLS(v, sm.add_constant(control)).fit().resid for v in (outcome, covariate)]
    ranked = pd.DataFrame(residuals).T.corr(method="spearman")
    assert found.spearman == pytest.approx(ranked.to_numpy()[0, 1])
    assert found.n == 60


def test_the_permutation_p_is_close_to_the_t_test_on_normal_data():
    outcome, covariate, control = data(1, effect=0.2)
    design = sm.add_constant(np.column_stack([control, covariate]))
    expected = sm.OLS(outcome, design).fit().pvalues[2]
    assert 0.01 < expected < 0.5
    assert associate(1, 20_000, effect=0.2).p == pytest.approx(expected, rel=0.15)


def test_the_permutations_equal_refitting_the_regression_each_time():
    n, n_permutations = 8, 400
    outcome, covariate, control = data(2, n=n, effect=0.5)
    design = np.column_stack([np.ones(n), control, covariate])
    reduced = design[:, :2]
    fit = reduced @ np.linalg.lstsq(reduced, outcome, rcond=None)[0]

    def partial_correlation(y: np.ndarray) -> float:
        t = float(sm.OLS(y, design).fit().tvalues[2])
        return abs(t) / np.sqrt(t**2 + n - 3)

    rng = np.random.default_rng([2, 7])
    shuffled = rng.permuted(np.tile(outcome - fit, (n_permutations, 1)), axis=1)
    null = np.array([partial_correlation(fit + residual) for residual in shuffled])
    hits = int((null >= partial_correlation(outcome) - 1e-9).sum())
    found = associate(2, n_permutations, n=n, effect=0.5)
    assert 20 < hits < 300
    assert found.p == pytest.approx((hits + 1) / (n_permutations + 1))


def test_p_is_uniform_when_the_covariate_acts_only_through_the_control():
    found = [associate(seed, n=30) for seed in range(300)]
    assert stats.kstest([f.p for f in found], "uniform").pvalue > 0.001
    # Standard error of the mean of 300 correlations at n = 30: 0.19 / sqrt(300) = 0.011.
    assert abs(np.mean([f.pearson for f in found])) < 0.04
    # Without the control the same data look strongly associated.
    raw = [np.corrcoef(*data(seed, n=30)[:2])[0, 1] for seed in range(300)]
    assert np.mean(raw) > 0.5


def test_a_planted_effect_is_found_with_its_sign():
    for effect in (0.8, -0.8):
        found = associate(3, n=80, effect=effect)
        assert found.slope == pytest.approx(effect, abs=0.35)
        assert np.sign(found.pearson) == np.sign(found.spearman) == np.sign(effect)
        assert found.p == pytest.approx(1 / 501)


def test_units_and_offsets_change_the_slope_only():
    outcome, covariate, control = data(4, effect=0.3)
    plain = associate(4, effect=0.3)
    moved = partial_association(
        5 * outcome - 3,
        2 * covariate + 9,
        0.1 * control,
        n_permutations=500,
        rng=np.random.default_rng([4, 7]),
    )
    assert moved.slope == pytest.approx(2.5 * plain.slope)
    assert (moved.pearson, moved.spearman) == pytest.approx((plain.pearson, plain.spearman))
    assert moved.p == pytest.approx(plain.p)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((np.arange(3.0), np.arange(3.0), np.arange(3.0)), "at least 4 rows, got 3"),
        ((np.full(9, 0.1), np.arange(9.0), np.arange(9.0) ** 2), "outcome is constant"),
        ((np.arange(9.0), np.full(9, 2.0), np.arange(9.0) ** 2), "covariate is constant"),
        ((np.arange(9.0), np.arange(9.0) ** 2, np.full(9, 2.0)), "control is constant"),
        ((np.arange(9.0) ** 2, 2 * np.arange(9.0), np.arange(9.0)), "determines the covariate"),
        ((2 * np.arange(9.0), np.arange(9.0) ** 2, np.arange(9.0)), "determines the outcome"),
        ((np.array([1.0, np.nan, 2, 3, 4]), np.arange(5.0), np.ones(5)), "outcome is not finite"),
    ],
)
def test_an_undefined_association_is_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        partial_association(*columns, rng=np.random.default_rng(0))

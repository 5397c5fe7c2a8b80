"""Effect sizes against closed forms and scipy; tests against their own nulls."""

import numpy as np
import pytest
from scipy import stats

from tl_geometry.statistics import (
    _pooled_difference,
    benjamini_hochberg,
    hedges_g,
    paired_d_z,
    sign_flip_p,
    standardised_mean,
    wilson,
)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_d_z_is_mean_over_standard_deviation():
    values = np.array([1.0, 2.0, 3.0, 6.0])
    interval = paired_d_z(values, rng=rng(0), n_resamples=500)
    assert interval.estimate == pytest.approx(3.0 / np.std(values, ddof=1))
    assert interval.n == 4


def test_d_z_keeps_its_digits_beside_a_large_offset():
    values = 1e8 + rng(1).normal(size=50)
    expected = values.mean() / np.std(values - values.mean(), ddof=1)
    assert paired_d_z(values, rng=rng(0), n_resamples=200).estimate == pytest.approx(expected)


def test_the_interval_of_d_z_agrees_with_scipy():
    values = rng(2).gamma(2.0, size=50) - 0.5
    ours = paired_d_z(values, rng=rng(3), n_resamples=20_000)
    theirs = stats.bootstrap(
        (values,),
        lambda x, axis: x.mean(axis) / x.std(axis, ddof=1),
        n_resamples=20_000,
        rng=rng(4),
        vectorized=True,
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.03)
    assert ours.high == pytest.approx(theirs.high, abs=0.03)


def test_d_z_covers_the_truth_and_narrows_with_n():
    covered, trials = 0, 200
    for trial in range(trials):
        values = rng(5, trial).normal(0.5, 1.0, size=80)
        interval = paired_d_z(values, rng=rng(6, trial), n_resamples=1000, level=0.9)
        covered += interval.low < 0.5 < interval.high
    assert stats.binom.cdf(covered, trials, 0.9) > 0.0005
    assert stats.binom.sf(covered - 1, trials, 0.9) > 0.0005


def test_hedges_g_by_hand():
    # Means 5 and 3, pooled variance (2 + 2) / 4 = 1, correction for 4 degrees of freedom.
    g = hedges_g(np.array([4.0, 5.0, 6.0]), np.array([2.0, 3.0, 4.0]), rng=rng(0), n_resamples=200)
    assert g.estimate == pytest.approx(2.0 * 0.797885, rel=1e-5)
    assert g.n == 6


def test_hedges_g_has_the_sign_of_the_first_group_and_ignores_scale_and_offset():
    a, b = rng(7).normal(1.0, 1.0, 30), rng(8).normal(0.0, 1.0, 25)
    g = hedges_g(a, b, rng=rng(9), n_resamples=1000)
    scaled = hedges_g(1e4 + 3 * a, 1e4 + 3 * b, rng=rng(9), n_resamples=1000)
    swapped = hedges_g(b, a, rng=rng(9), n_resamples=1000)
    assert g.estimate > 0
    assert (scaled.estimate, scaled.low) == pytest.approx((g.estimate, g.low))
    assert swapped.estimate == pytest.approx(-g.estimate)


def test_the_interval_of_g_agrees_with_scipy():
    a, b = rng(10).gamma(3.0, size=40), rng(11).gamma(2.0, size=30)

    def g(x, y, axis):
        n, m = x.shape[axis], y.shape[axis]
        pooled = ((n - 1) * x.var(axis, ddof=1) + (m - 1) * y.var(axis, ddof=1)) / (n + m - 2)
        return (x.mean(axis) - y.mean(axis)) / np.sqrt(pooled) * (1 - 3 / (4 * (n + m) - 9))

    theirs = stats.bootstrap((a, b), g, n_resamples=20_000, rng=rng(12), vectorized=True)
    ours = hedges_g(a, b, rng=rng(13), n_resamples=20_000)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03)


def test_a_weight_counts_a_value_as_often_as_repeating_it():
    a, b = rng(24).normal(1.0, 1.0, 6), rng(25).normal(0.0, 2.0, 9)
    n_a, n_b = np.array([2, 0, 1, 1, 2, 0]), np.array([3, 0, 0, 1, 1, 0, 2, 1, 1])
    repeated_a, repeated_b = np.repeat(a, n_a), np.repeat(b, n_b)
    weights = np.concatenate([n_a, n_b])[None].astype(float)
    g = hedges_g(repeated_a, repeated_b, rng=rng(0), n_resamples=50).estimate
    d_z = paired_d_z(repeated_a, rng=rng(0), n_resamples=50).estimate
    assert _pooled_difference(a, b)(weights)[0] == pytest.approx(g)
    assert standardised_mean(a)(weights[:, :6])[0] == pytest.approx(d_z)


def test_a_resample_of_one_value_only_has_no_d_z():
    weights = np.array([[0.0, 4.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    values = standardised_mean(np.array([0.1, 0.7, 0.3, 0.2]))(weights)
    assert np.isnan(values[0]) and values[1] > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_d_z(np.full(5, 0.3), rng=rng(0)), "no spread"),
        (lambda: paired_d_z(np.array([1.0]), rng=rng(0)), "at least 2 values, got 1"),
        (lambda: paired_d_z(np.array([1.0, np.nan, 2.0]), rng=rng(0)), "first: row 1"),
        (lambda: hedges_g(np.full(4, 1.0), np.full(4, 2.0), rng=rng(0)), "no spread"),
        (lambda: hedges_g(np.array([1.0]), np.arange(4.0), rng=rng(0)), "got 1 in a"),
        (lambda: wilson(0, 0), "0 in 0 is undefined"),
        (lambda: wilson(5, 4), "5 in 4"),
        (lambda: sign_flip_p(np.array([]), rng(0)), "at least one"),
        (lambda: sign_flip_p(np.array([np.inf, 1.0]), rng(0)), "not finite"),
    ],
)
def test_an_undefined_effect_is_refused_and_never_zero(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_two_differences_have_an_estimate_but_no_interval():
    interval = paired_d_z(np.array([1.0, 2.0]), rng=rng(0))
    assert interval.estimate == pytest.approx(1.5 / np.sqrt(0.5))
    assert interval.status == "missing" and "got 2" in interval.reason


def test_a_group_of_two_has_a_g_but_no_interval():
    interval = hedges_g(np.array([1.0, 2.0]), np.arange(9.0), rng=rng(0), n_resamples=500)
    assert interval.estimate < 0 and np.isnan(interval.low)
    assert interval.status == "missing" and "got 2" in interval.reason


def test_wilson_by_hand_and_at_the_edge():
    # Centre (1 + z²/2) / (10 + z²) and half-width from the score test at z = 1.959964.
    interval = wilson(1, 10)
    assert (interval.low, interval.high) == pytest.approx((0.017876, 0.404150), abs=1e-5)
    none = wilson(0, 50)
    assert none.low == 0.0 and none.high == pytest.approx(0.0713476, abs=1e-6)


def test_benjamini_hochberg_by_hand_without_the_missing_test():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.02, np.nan, 0.04, 0.04, 0.02])
    assert np.isnan(benjamini_hochberg(np.full(3, np.nan))).all()
    assert benjamini_hochberg(np.array([])).shape == (0,)


def test_benjamini_yekutieli_is_stricter_by_the_harmonic_number():
    p = np.array([0.01, 0.02, 0.03])
    harmonic = 1 + 1 / 2 + 1 / 3
    np.testing.assert_allclose(benjamini_hochberg(p, method="by"), harmonic * benjamini_hochberg(p))


def test_sign_flip_is_exact_on_few_differences():
    # Of 2^5 sign patterns only "all plus" and "all minus" reach the observed mean.
    assert sign_flip_p(np.arange(1.0, 6.0), rng(0)) == pytest.approx(2 / 32)


def test_sign_flip_agrees_with_the_permutation_test_of_scipy():
    values = rng(14).normal(0.25, 1.0, 40)
    theirs = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=20_000, rng=rng(15)
    ).pvalue
    # Both estimate p with a standard error of at most sqrt(p (1 - p) / 20 000) < 0.004.
    assert sign_flip_p(values, rng(16), 20_000) == pytest.approx(theirs, abs=0.015)


def test_sign_flip_p_is_uniform_under_the_null_and_small_under_an_effect():
    p = [sign_flip_p(rng(17, t).standard_t(3, size=25), rng(18, t), 500) for t in range(300)]
    assert stats.kstest(p, "uniform").pvalue > 0.001
    assert sign_flip_p(rng(19).normal(1.0, 1.0, 25), rng(20), 2000) < 0.005


def test_sign_flip_depends_on_nothing_but_its_generator():
    values = rng(21).normal(0.2, 1.0, 30)
    assert sign_flip_p(values, rng(22), 300) == sign_flip_p(values, rng(22), 300)
    assert sign_flip_p(values, rng(22), 300) != sign_flip_p(values, rng(23), 300)

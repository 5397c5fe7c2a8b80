"""Intervals are judged by what they promise: coverage, and agreement with other routes."""

import numpy as np
import pytest
from scipy import stats

from tl_geometry.bootstrap import CONSTANT, BootstrapResult, bca, combined, missing_interval
from tl_geometry.resampling import (
    crossed_weights,
    mean_of,
    ratio_of,
    simple_weights,
)


def within_binomial_bounds(hits: int, trials: int, rate: float) -> bool:
    """Whether a count is one that a true `rate` gives 99.9 % of the time."""
    return bool(
        stats.binom.cdf(hits, trials, rate) > 0.0005
        and stats.binom.sf(hits - 1, trials, rate) > 0.0005
    )


def skewed(seed: int, n: int = 40) -> np.ndarray:
    return np.random.default_rng([seed, 1]).gamma(2.0, size=n)


def result_for(values: np.ndarray, n_resamples: int = 4000, seed: int = 0):
    weights = simple_weights(len(values), n_resamples, np.random.default_rng([seed, 2]))
    return bca(mean_of(values), weights)


def test_the_interval_of_a_mean_agrees_with_scipy():
    values = skewed(0)
    ours = result_for(values, n_resamples=50_000).interval()
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=50_000, method="BCa", rng=np.random.default_rng(3)
    ).confidence_interval
    # The Monte Carlo error of a 2.5 % quantile from 50 000 draws is about 1 % of the width.
    tolerance = 0.02 * (theirs.high - theirs.low)
    assert ours.estimate == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.high, abs=tolerance)
    # On skewed data BCa is not the percentile interval; otherwise agreement would prove little.
    percentile = np.quantile(result_for(values, n_resamples=50_000).replicates, [0.025, 0.975])
    assert abs(percentile[1] - theirs.high) > tolerance


def test_bias_and_acceleration_agree_with_scipy_on_the_same_resamples():
    values = skewed(1)
    result = result_for(values)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=10, method="BCa", rng=np.random.default_rng(0)
    )
    # scipy keeps bias and acceleration to itself but accepts our replicates as its own.
    theirs = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=0,
        method="BCa",
        bootstrap_result=_with_replicates(reference, result.replicates),
    ).confidence_interval
    assert result.interval().low == pytest.approx(theirs.low, rel=1e-12)
    assert result.interval().high == pytest.approx(theirs.high, rel=1e-12)


def _with_replicates(reference, replicates: np.ndarray):
    reference.bootstrap_distribution = replicates
    return reference


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_of_a_normal_mean_covers_it_as_often_as_it_says(level):
    rng = np.random.default_rng([10, int(100 * level)])
    weights = simple_weights(60, 2000, rng)
    trials = 600
    covered = 0
    for _ in range(trials):
        interval = bca(mean_of(rng.normal(3.0, 2.0, size=60)), weights).interval(level)
        covered += interval.low < 3.0 < interval.high
    assert within_binomial_bounds(covered, trials, level), covered / trials


def test_the_interval_of_a_ratio_of_sums_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(11)
    weights = simple_weights(80, 2000, rng)
    trials = 600
    covered = 0
    for _ in range(trials):
        size = rng.gamma(4.0, size=80)
        share = 0.3 * size + rng.normal(0, 0.5, size=80)
        interval = bca(ratio_of(share, size), weights).interval(0.9)
        covered += interval.low < 0.3 < interval.high
    assert within_binomial_bounds(covered, trials, 0.9), covered / trials


@pytest.mark.parametrize("quantile", [0.002, 0.04, 0.3, 0.49, 0.6, 0.95, 0.998])
def test_the_p_value_is_the_smallest_alpha_whose_interval_excludes_the_null(quantile):
    result = result_for(skewed(2))
    null = float(np.quantile(result.replicates, quantile))
    assert_p_inverts_the_interval(result, null)


def assert_p_inverts_the_interval(result: BootstrapResult, null: float) -> None:
    p = result.p_two_sided(null)
    excluding, including = result.interval(1 - 1.00001 * p), result.interval(1 - 0.99999 * p)
    assert not excluding.low <= null <= excluding.high
    assert including.low <= null <= including.high


@pytest.mark.parametrize("hits", [3, 4, 5, 11, 12])
def test_p_inverts_the_interval_also_where_many_resamples_tie_with_the_null(hits):
    votes = np.array([1.0] * 7 + [0.0] * 13)
    result = result_for(votes)
    assert (np.abs(result.replicates - hits / 20) < 1e-9).sum() > 20
    # The replicates' own value, so that rounding does not decide the tie.
    null = float(result.replicates[np.abs(result.replicates - hits / 20).argmin()])
    assert_p_inverts_the_interval(result, null)


@pytest.mark.parametrize("margin", [0.3, 0.45, 0.6])
def test_equivalence_is_an_interval_within_the_margin(margin):
    values = skewed(3) - skewed(3).mean() + 0.1
    result = result_for(values)
    p = result.equivalence_p(margin)
    assert 1 / 4001 < p < 0.5
    inside = result.interval(1 - 2 * 1.00001 * p)
    across = result.interval(1 - 2 * 0.99999 * p)
    assert -margin < inside.low and inside.high < margin
    assert across.low <= -margin or across.high >= margin


def test_a_null_far_outside_has_the_smallest_p_that_resampling_can_give():
    result = result_for(skewed(4), n_resamples=999)
    assert result.p_two_sided(-50.0) == pytest.approx(1 / 1000)
    assert result.p_two_sided(+50.0) == pytest.approx(1 / 1000)
    assert result.equivalence_p(50.0) == pytest.approx(1 / 1000)
    assert result.equivalence_p(0.01) == pytest.approx(1.0)


def test_p_values_under_the_null_are_uniform():
    rng = np.random.default_rng(12)
    weights = simple_weights(80, 2000, rng)
    p = [bca(mean_of(rng.normal(size=80)), weights).p_two_sided() for _ in range(400)]
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_reversing_the_sign_mirrors_interval_and_p():
    values, weights = skewed(5), simple_weights(40, 3000, np.random.default_rng(5))
    plus, minus = bca(mean_of(values), weights), bca(mean_of(-values), weights)
    assert minus.interval().low == pytest.approx(-plus.interval().high)
    assert minus.interval().high == pytest.approx(-plus.interval().low)
    assert minus.p_two_sided(-1.7) == pytest.approx(plus.p_two_sided(1.7))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1.0, 2.0], "at least 3 units, got 2"),
        ([0.1, 0.1, 0.1, 0.1], "same value"),
    ],
)
def test_an_interval_that_cannot_be_had_is_missing_with_its_reason(values, reason):
    result = result_for(np.array(values))
    interval = result.interval()
    assert (interval.status, interval.n) == ("missing", len(values))
    assert reason in interval.reason
    assert interval.estimate == pytest.approx(np.mean(values))
    assert np.isnan(
        [interval.low, interval.high, result.p_two_sided(), result.equivalence_p(1)]
    ).all()


def test_an_empty_resample_is_dropped_even_if_the_statistic_gives_a_number():
    weights = np.array([[0.0, 0.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [1.0, 1.0, 1.0]])
    result = bca(lambda w: w @ np.array([1.0, 2.0, 4.0]), weights)
    np.testing.assert_array_equal(result.replicates, [np.nan, 4.0, 10.0, 7.0])


def test_acceleration_of_a_difference_of_means_by_hand():
    """Each group contributes its third moment over n³ and its second over n²."""
    a, b = skewed(7, n=12), skewed(8, n=40)

    def gap(weights: np.ndarray) -> np.ndarray:
        return mean_of(a)(weights[:, :12]) - mean_of(b)(weights[:, 12:])

    rng = np.random.default_rng(0)
    weights = np.hstack([simple_weights(12, 400, rng), simple_weights(40, 400, rng)])
    one_less = 1 - np.eye(52)
    result = bca(gap, weights, jackknife=(one_less[:12], one_less[12:]))
    third = ((a - a.mean()) ** 3).sum() / 12**3 - ((b - b.mean()) ** 3).sum() / 40**3
    second = a.var() / 12 + b.var() / 40
    assert result.acceleration == pytest.approx(third / (6 * second**1.5))


def test_a_statistic_undefined_on_many_resamples_has_no_interval():
    one_sided = ratio_of(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.0, 0.0, 1.0]))
    result = bca(one_sided, simple_weights(4, 1000, np.random.default_rng(2)))
    assert "undefined on" in result.interval().reason
    assert 0 < result.n_dropped < 200


def test_a_statistic_undefined_without_one_unit_has_no_interval():
    lonely = ratio_of(np.arange(60.0), np.eye(60)[0])
    weights = np.ones((50, 60)) + np.eye(60)[:50]
    assert "one unit is left out" in bca(lonely, weights).interval().reason


def test_an_estimate_outside_its_own_resamples_has_no_interval():
    weights = np.array([[0.0, 1.0, 2.0], [0.0, 2.0, 1.0], [1.0, 0.0, 2.0]])
    result = bca(mean_of(np.array([0.0, 1.0, 2.0])), weights)
    assert "same side" in result.interval().reason


def test_a_statistic_that_no_single_unit_moves_has_no_acceleration():
    def heaviest(weights: np.ndarray) -> np.ndarray:
        return weights.max(axis=1)

    result = bca(heaviest, simple_weights(10, 500, np.random.default_rng(0)))
    assert "never changes" in result.interval().reason


def test_undefined_or_missing_input_is_refused():
    weights = simple_weights(3, 10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="undefined on the 3 rows"):
        bca(ratio_of(np.ones(3), np.zeros(3)), weights)
    with pytest.raises(ValueError, match="first: row 1"):
        mean_of(np.array([1.0, np.nan, 2.0]))
    with pytest.raises(ValueError, match="between 0 and 1"):
        result_for(skewed(0)).interval(95)
    with pytest.raises(ValueError, match="positive and finite"):
        result_for(skewed(0)).equivalence_p(0.0)
    with pytest.raises(ValueError, match="cannot be paired"):
        crossed_weights(["a"], ["x", "y"], 10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 1"):
        simple_weights(0, 10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="needs a reason"):
        missing_interval("", n=0, method="BCa")


def test_the_same_generator_gives_the_same_interval():
    assert result_for(skewed(6), seed=1).interval() == result_for(skewed(6), seed=1).interval()
    assert result_for(skewed(6), seed=1).interval() != result_for(skewed(6), seed=2).interval()


def test_a_difference_of_two_results_is_drawn_resample_by_resample() -> None:
    rng = np.random.default_rng(5)
    shared, noise = rng.normal(size=60), rng.normal(0, 0.1, size=60)
    weights = simple_weights(60, 2000, np.random.default_rng(6))
    one, other = (bca(mean_of(x), weights) for x in (shared + 1 + noise, shared))
    gap = combined(lambda draws: draws[0] - draws[1], [one, other])
    direct = bca(mean_of(1 + noise), weights).interval()
    assert gap.estimate == pytest.approx(direct.estimate)
    found = gap.interval()
    assert (found.low, found.high) == pytest.approx((direct.low, direct.high), abs=2e-3)
    # Taken for independent, the two would differ by ten times as much.
    assert found.high - found.low < 0.2 * (one.interval().high - one.interval().low)
    assert "no spread" in combined(lambda d: d[0] - d[1], [one, one]).reason
    with pytest.raises(ValueError, match="different numbers"):
        combined(lambda d: d[0], [one, bca(mean_of(shared), weights[:100])])


def test_a_constant_takes_part_in_a_combination_and_a_missing_result_ends_it() -> None:
    """By hand: the mean of 1 and x lies as far from 1 as half of x does."""
    weights = simple_weights(30, 500, np.random.default_rng(7))
    x = np.random.default_rng(8).normal(size=30)
    varying, sure = bca(mean_of(x), weights), bca(lambda w: np.ones(len(w)), weights)
    assert sure.reason == CONSTANT
    mean = combined(lambda draws: draws.mean(axis=0), [sure, varying])
    np.testing.assert_allclose(mean.replicates, (1 + varying.replicates) / 2)
    alone = combined(lambda draws: draws[0], [varying]).interval()
    found = mean.interval()
    assert (found.low, found.high) == pytest.approx(((1 + alone.low) / 2, (1 + alone.high) / 2))
    assert combined(lambda draws: draws.mean(axis=0), [sure, sure]).reason == CONSTANT
    lost = bca(mean_of(x[:2]), np.ones((500, 2)))
    reason = combined(lambda draws: draws.mean(axis=0), [sure, varying, lost]).reason
    assert reason == lost.reason != ""

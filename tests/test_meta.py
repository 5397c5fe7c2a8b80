"""Meta-analysis by hand and by simulation; Fieller's interval by its definition."""

import numpy as np
import pytest
from scipy import stats

from tl_geometry.meta import fieller, leave_one_out, random_effects

EFFECTS, VARIANCES = np.array([0.2, 0.5, 0.4, 0.9]), np.array([0.02, 0.03, 0.01, 0.05])


def test_equal_variances_give_the_plain_mean_and_its_t_interval() -> None:
    effects = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    found = random_effects(effects, np.full(5, 1e-3))
    by_hand = stats.t.interval(0.95, 4, effects.mean(), stats.sem(effects))
    assert found.mean.estimate == pytest.approx(2.0)
    assert (found.mean.low, found.mean.high) == pytest.approx(by_hand, rel=1e-6)
    assert found.tau2 == pytest.approx(effects.var(ddof=1) - 1e-3, rel=1e-4)
    assert found.weights == pytest.approx(np.full(5, 0.2))
    assert found.i2 > 0.99 and found.heterogeneity_p < 1e-6


def test_tau_squared_solves_paule_and_mandel_s_equation() -> None:
    found = random_effects(EFFECTS, VARIANCES)
    weights = 1 / (VARIANCES + found.tau2)
    mean = (weights * EFFECTS).sum() / weights.sum()
    assert (weights * (EFFECTS - mean) ** 2).sum() == pytest.approx(3, rel=1e-3)
    assert found.mean.estimate == pytest.approx(mean)


def test_equal_effects_show_no_heterogeneity_and_the_interval_does_not_collapse() -> None:
    found = random_effects(np.full(4, 0.3), np.full(4, 0.04))
    assert found.tau2 == 0 and found.i2 == 0
    half = stats.t.ppf(0.975, 3) * 0.1
    assert (found.mean.low, found.mean.high) == pytest.approx((0.3 - half, 0.3 + half))


def test_the_next_model_is_less_certain_than_the_mean() -> None:
    found = random_effects(EFFECTS, VARIANCES)
    assert found.prediction.low < found.mean.low and found.prediction.high > found.mean.high
    two = random_effects(EFFECTS[:2], VARIANCES[:2])
    assert two.prediction.status == "missing" and "third" in two.prediction.reason


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        variances = rng.uniform(0.01, 0.1, 6)
        effects = 0.4 + rng.normal(0, 0.3, 6) + rng.normal(0, np.sqrt(variances))
        found = random_effects(effects, variances).mean
        hits += found.low <= 0.4 <= found.high
    low = stats.binom.ppf(0.0005, 600, 0.95) / 600
    assert hits / 600 >= low


def test_leaving_one_out_is_the_summary_of_the_others() -> None:
    without = leave_one_out(EFFECTS, VARIANCES)
    assert without[1].mean.estimate == pytest.approx(
        random_effects(EFFECTS[[0, 2, 3]], VARIANCES[[0, 2, 3]]).mean.estimate
    )
    with pytest.raises(ValueError, match="three models"):
        leave_one_out(EFFECTS[:2], VARIANCES[:2])


@pytest.mark.parametrize(
    ("effects", "variances", "message"),
    [([1.0], [1.0], "two models"), ([1.0, 2.0], [1.0, 0.0], "positive")],
)
def test_what_has_no_summary_is_refused(
    effects: list[float], variances: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        random_effects(np.array(effects), np.array(variances))


def test_fieller_s_ends_are_where_the_t_test_turns() -> None:
    rng = np.random.default_rng(1)
    b = rng.normal(2, 0.5, 40)
    a = 0.6 * b + rng.normal(0, 0.4, 40)
    found = fieller(a, b)
    assert found.estimate == pytest.approx(a.mean() / b.mean())
    for end in (found.low, found.high):
        assert stats.ttest_1samp(a - end * b, 0).pvalue == pytest.approx(0.05, abs=1e-9)


def test_a_ratio_to_nothing_is_undefined_and_shows_no_number() -> None:
    rng = np.random.default_rng(2)
    found = fieller(rng.normal(1, 0.1, 30), rng.normal(0.01, 1, 30))
    assert found.status == "missing" and np.isnan(found.estimate) and "holds 0" in found.reason


def test_fieller_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(600):
        b = rng.normal(1, 1, 25)
        found = fieller(0.8 * b + rng.normal(0, 1, 25), b)
        hits += found.status == "missing" or found.low <= 0.8 <= found.high
    assert hits / 600 >= stats.binom.ppf(0.0005, 600, 0.95) / 600

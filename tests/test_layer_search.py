"""The search over layers keeps its error rate, finds what was planted, and says how sure it is."""

import numpy as np
import pytest
from scipy import stats

from tl_geometry.layer_search import bootstrap_layers, max_t, strongest

N, LAYERS, PLANTED = 40, 20, 13
FIRST = np.arange(N) < N // 2


def _null(rng: np.random.Generator) -> np.ndarray:
    """Correlated layers, as a residual stream has."""
    return np.cumsum(rng.normal(size=(N, LAYERS)), axis=1)


def _planted(rng: np.random.Generator, size: float = 2.0) -> np.ndarray:
    values = rng.normal(size=(N, LAYERS))
    values[FIRST, PLANTED] += size
    return values


def test_t_is_welch_s() -> None:
    values = _null(np.random.default_rng(0))
    found = max_t(values, FIRST, np.random.default_rng(1), 10)
    by_scipy = stats.ttest_ind(values[FIRST], values[~FIRST], equal_var=False).statistic
    assert found.t == pytest.approx(by_scipy)


def test_a_null_search_is_wrong_in_one_of_twenty_cases() -> None:
    runs, wrong = 400, 0
    for k in range(runs):
        rng = np.random.default_rng([7, k])
        wrong += max_t(_null(rng), FIRST, rng, 399).p.min() <= 0.05
    low, high = stats.binom.ppf([0.0005, 0.9995], runs, 0.05)
    assert low <= wrong <= high


def test_searching_without_correction_would_be_wrong_far_more_often() -> None:
    """The correction does something: single-layer p-values of the same searches mislead."""
    wrong = 0
    for k in range(200):
        values = _null(np.random.default_rng([8, k]))
        wrong += stats.ttest_ind(values[FIRST], values[~FIRST]).pvalue.min() <= 0.05
    assert wrong / 200 > 0.12


def test_a_planted_layer_is_found_by_all_three() -> None:
    values = _planted(np.random.default_rng(2))
    found = max_t(values, FIRST, np.random.default_rng(3), 999)
    assert found.best == PLANTED and found.p[PLANTED] == pytest.approx(1 / 1000)
    assert np.delete(found.p, PLANTED).min() > 0.05
    assert strongest(values, FIRST) == PLANTED
    chosen = bootstrap_layers(values, np.random.default_rng(5), FIRST, 200)
    assert np.mean(chosen == PLANTED) > 0.95


def test_without_a_plant_the_place_is_unsure() -> None:
    values = np.random.default_rng(6).normal(size=(N, LAYERS))
    chosen = bootstrap_layers(values, np.random.default_rng(5), FIRST, 200)
    assert max(np.bincount(chosen)) < 0.8 * 200


def test_the_layer_of_one_group_is_that_of_the_largest_one_sample_t() -> None:
    values = np.random.default_rng(4).normal(size=(N, LAYERS))
    values[:, PLANTED] += 1
    expected = np.abs(stats.ttest_1samp(values, 0).statistic).argmax()
    assert strongest(values) == expected == PLANTED
    assert np.mean(bootstrap_layers(values, np.random.default_rng(5), None, 200) == PLANTED) > 0.95


def test_a_resample_s_strongest_layer_is_that_of_the_drawn_rows() -> None:
    values = _null(np.random.default_rng(11))
    chosen = bootstrap_layers(values, np.random.default_rng(12), FIRST, 20)
    rng = np.random.default_rng(12)
    halves = [rng.multinomial(N // 2, np.full(N // 2, 2 / N), size=20) for _ in range(2)]
    for k in range(20):
        a, b = (
            np.repeat(values[g], h[k], axis=0) for g, h in zip((FIRST, ~FIRST), halves, strict=True)
        )
        error = (a.var(axis=0) + b.var(axis=0)) / (N // 2 - 1)
        gap = a.mean(axis=0) - b.mean(axis=0)
        assert chosen[k] == np.abs(gap / np.sqrt(error)).argmax()


def test_the_other_half_gives_an_effect_that_is_not_chosen() -> None:
    """On noise, the effect at the chosen layer is large where it was chosen and nil elsewhere."""
    seen, fresh = [], []
    half = np.arange(N) % 2 == 0
    for k in range(200):
        values = np.random.default_rng([9, k]).normal(size=(N, LAYERS))
        layer = strongest(values[half], FIRST[half])
        for rows, into in ((half, seen), (~half, fresh)):
            into.append(values[rows & FIRST, layer].mean() - values[rows & ~FIRST, layer].mean())
    assert np.mean(np.abs(seen)) > 1.5 * np.mean(np.abs(fresh))
    assert abs(np.mean(np.sign(seen) * np.array(fresh))) < 4 * np.std(fresh) / np.sqrt(200)


def test_more_permutations_than_fit_at_once_change_nothing_but_precision() -> None:
    values = _planted(np.random.default_rng(2), 1.0)
    few, many = (max_t(values, FIRST, np.random.default_rng(3), n) for n in (1999, 4001))
    assert few.p == pytest.approx(many.p, abs=0.05)


@pytest.mark.parametrize(
    ("values", "first", "message"),
    [
        (np.full((4, 2), np.nan), [True, True, False, False], "not finite"),
        (np.zeros((4, 2)), [True, False, False, False], "two prompts"),
    ],
)
def test_bad_requests_are_refused(values: np.ndarray, first: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        max_t(values, np.array(first), np.random.default_rng(0), 9)

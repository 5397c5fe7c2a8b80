"""Weights of resamples: counts, crossed where two labels recur, and shared where asked for."""

import numpy as np
import pytest

from tl_geometry.bootstrap import bca
from tl_geometry.resampling import (
    crossed_weights,
    left_out,
    mean_of,
    ratio_of,
    shared_weights,
    simple_weights,
)


def test_a_ratio_of_sums_is_not_the_mean_of_ratios():
    top, bottom = np.array([1.0, 9.0, 2.0]), np.array([1.0, 3.0, 4.0])
    weights = np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]])
    np.testing.assert_allclose(ratio_of(top, bottom)(weights), [12 / 8, 4 / 6])


def crossed_data(rng: np.random.Generator, size: int, row: float, shared: float):
    """A full grid of targets and donors: mean 0, one random effect a target, a donor and a row."""
    effect = rng.normal(0, shared, (size, 1)) + rng.normal(0, shared, (1, size))
    values = effect + rng.normal(0, row, (size, size))
    targets, donors = np.divmod(np.arange(size * size), size)
    return values.ravel(), targets.tolist(), donors.tolist()


def test_crossed_resampling_finds_the_variance_of_two_shared_effects():
    rng = np.random.default_rng(13)
    size, row, shared = 12, 0.7, 1.0
    # On a grid the total weight is constant. A target weighs c / size, so its effect contributes
    # the variance of a plain bootstrap; a row weighs c d / size², and Var(c d) = (2 - 1/size)² - 1.
    expected = 2 * shared**2 * (1 - 1 / size) / size
    expected += row**2 * ((2 - 1 / size) ** 2 - 1) / size**2
    truth = 2 * shared**2 / size + row**2 / size**2
    found, one_way = [], []
    for _ in range(300):
        values, targets, donors = crossed_data(rng, size, row, shared)
        crossed = crossed_weights(targets, donors, 200, rng)
        crossed_mean = mean_of(values)(crossed[crossed.sum(1) > 0])
        found.append(crossed_mean.var())
        one_way.append(mean_of(values)(simple_weights(len(values), 200, rng)).var())
    # 300 data sets, each a chi-square with 2 x 11 degrees of freedom: standard error below 2 %.
    assert np.mean(found) == pytest.approx(expected, rel=0.06)
    assert np.mean(found) > 0.9 * truth
    assert np.mean(one_way) < 0.2 * truth


def test_crossed_intervals_cover_where_one_way_intervals_do_not():
    rng = np.random.default_rng(14)
    trials, size = 200, 12
    labels = crossed_data(rng, size, 0.7, 1.0)[1:]
    crossed = crossed_weights(*labels, 1000, rng)
    one_way = simple_weights(size * size, 1000, rng)
    factors = (left_out(labels[0]), left_out(labels[1]))
    covered = np.zeros(2)
    for _ in range(trials):
        values = crossed_data(rng, size, 0.7, 1.0)[0]
        both = (
            bca(mean_of(values), crossed, size, jackknife=factors),
            bca(mean_of(values), one_way),
        )
        covered += [r.interval(0.9).low < 0 < r.interval(0.9).high for r in both]
    assert covered[0] / trials > 0.84
    assert covered[1] / trials < 0.6


def test_crossed_resampling_of_unshared_pairs_triples_the_variance():
    rng = np.random.default_rng(15)
    values = rng.normal(size=200)
    crossed = crossed_weights(range(200), range(200), 8000, rng)
    ratio = mean_of(values)(crossed).var() / (values.var() / 200)
    assert ratio == pytest.approx(3.0, rel=0.12)


def test_a_crossed_weight_is_the_product_of_two_counts():
    targets, donors = ["a", "a", "b", "b"], ["x", "y", "x", "y"]
    weights = crossed_weights(targets, donors, 500, np.random.default_rng(0))
    # On a grid the weights form a table of rank one whose total is 2 x 2 in every resample.
    np.testing.assert_array_equal(weights.sum(1), 4)
    np.testing.assert_array_equal(weights[:, 0] * weights[:, 3], weights[:, 1] * weights[:, 2])
    assert weights[:, 0].max() == 4


def test_left_out_drops_every_row_of_a_label():
    np.testing.assert_array_equal(left_out(["b", "a", "b"]), [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])


def test_empty_resamples_are_dropped_and_counted():
    labels = ["a", "b", "c", "d"]
    weights = crossed_weights(labels, labels, 4000, np.random.default_rng(1))
    empty = int((weights.sum(1) == 0).sum())
    assert empty > 0
    result = bca(mean_of(np.array([1.0, 2.0, 4.0, 7.0])), weights)
    assert result.n_dropped == empty
    np.testing.assert_array_equal(np.isnan(result.replicates), weights.sum(1) == 0)
    assert result.interval().status == "ok"


def test_crossing_labels_that_never_repeat_widens_intervals_by_the_root_of_three():
    # Why disjoint pairs are resampled as pairs (docs/definitions.md).
    rng = np.random.default_rng(11)
    values, labels = rng.normal(size=150), [str(i) for i in range(150)]
    crossed = mean_of(values)(crossed_weights(labels, labels[::-1], 8000, rng))
    simple = mean_of(values)(simple_weights(150, 8000, rng))
    assert crossed.std() / simple.std() == pytest.approx(3**0.5, rel=0.06)


def test_shared_weights_are_the_same_object_and_their_stream_s() -> None:
    one = shared_weights(9, 50, 3, 1)
    assert one is shared_weights(9, 50, 3, 1)
    assert np.array_equal(one, simple_weights(9, 50, np.random.default_rng([3, 1])))
    assert not np.array_equal(one, shared_weights(9, 50, 3, 2))

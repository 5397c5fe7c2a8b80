"""Separation against scikit-learn, hand-made cases and planted effects."""

import numpy as np
import pytest
from planted_classes import planted, rng
from sklearn import metrics

from tl_geometry.probes import probe_scores
from tl_geometry.separation import (
    adjusted_eta_squared,
    auc,
    calinski_harabasz,
    distances,
    eta_squared,
    paper_aqi,
    silhouette,
    xie_beni,
)
from tl_geometry.separation_intervals import (
    bootstrapped_eta,
    subsampled_silhouette,
)
from tl_geometry.separation_nulls import dispersion, eta_null, silhouette_null
from tl_geometry.strata import halves, shuffled_labels, stratified

INDICES = [calinski_harabasz, xie_beni, eta_squared, adjusted_eta_squared, silhouette, paper_aqi]


# --- indices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_chi_and_silhouette_are_those_of_scikit_learn(share):
    x, labels = planted(0, share=share)
    theirs = metrics.calinski_harabasz_score(x, labels)
    assert calinski_harabasz(x, labels).value == pytest.approx(theirs, rel=1e-9)
    assert silhouette(x, labels).value == pytest.approx(
        metrics.silhouette_score(x, labels), rel=1e-9
    )


def test_the_only_member_of_a_class_has_width_0_as_in_scikit_learn():
    x, labels = planted(1, n=6)[0], np.arange(6) == 2
    assert silhouette(x, labels).value == pytest.approx(metrics.silhouette_score(x, labels))


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_xie_beni_and_eta_squared_are_chi_in_another_dress(share):
    x, labels = planted(2, n=80, share=share)
    chi, xbi = calinski_harabasz(x, labels).value, xie_beni(x, labels).value
    assert xbi == pytest.approx(share * (1 - share) * 78 / chi, rel=1e-12)
    assert eta_squared(x, labels).value == pytest.approx(chi / (chi + 78), rel=1e-12)
    assert paper_aqi(x, labels, 0.3).value == pytest.approx(0.3 / xbi + 0.7 * chi, rel=1e-12)


def test_the_published_pools_obey_the_identity():
    # CHI and XBI of 2 800 balanced items, as printed with four digits.
    for chi, xbi, eta in [(989.7, 0.707, 0.261), (561.8, 1.245, 0.167), (159.8, 4.377, 0.054)]:
        assert xbi == pytest.approx(2798 / 4 / chi, rel=1e-3)
        assert 0.25 / (0.25 + xbi) == pytest.approx(eta, abs=5e-4)


def test_two_by_two_points_by_hand():
    # Means 1 and 5, mean of all 3: B = 4 · 2² = 16, W = 4 · 1² = 4, gap² = 16.
    x, labels = np.array([[0.0], [2.0], [4.0], [6.0]]), np.array([True, True, False, False])
    assert eta_squared(x, labels).value == pytest.approx(16 / 20)
    assert calinski_harabasz(x, labels).value == pytest.approx(16 / (4 / 2))
    assert xie_beni(x, labels).value == pytest.approx(4 / (4 * 16))
    assert adjusted_eta_squared(x, labels).value == pytest.approx(1 - 0.2 * 3 / 2)
    # Own distance 2 throughout; to the other class 5, 3, 3 and 5.
    assert silhouette(x, labels).value == pytest.approx((3 / 5 + 1 / 3) / 2)


@pytest.mark.parametrize("index", INDICES)
def test_rotation_shift_scale_and_order_change_nothing(index):
    x, labels = planted(3)
    turned = x @ np.linalg.qr(rng(4).normal(size=(5, 5)))[0]
    order = rng(5).permutation(len(x))
    value = index(x, labels).value
    for other in (turned, x + 100.0, x * 1e-7, x * 1e200):
        assert index(other, labels).value == pytest.approx(value, rel=1e-9)
    assert index(x[order], labels[order]).value == pytest.approx(value, rel=1e-9)


def test_eta_finds_what_was_planted_and_its_adjustment_takes_the_noise_off():
    # p (1 − p) |gap|² = d / 4 beside d within: 0.2 of the total, and 0 without a shift.
    found = [adjusted_eta_squared(*planted(100 + t, n=40)).value for t in range(200)]
    assert np.mean(found) == pytest.approx(0.2, abs=0.015)
    noise = [planted(400 + t, n=40, shift=0.0) for t in range(200)]
    assert np.mean([adjusted_eta_squared(*one).value for one in noise]) == pytest.approx(
        0, abs=6e-3
    )
    assert np.mean([eta_squared(*one).value for one in noise]) == pytest.approx(1 / 39, abs=6e-3)


def degenerate() -> list[tuple[str, np.ndarray, np.ndarray]]:
    x, labels = planted(6, n=8)
    broken = x.copy()
    broken[3, 1], broken[4, 0] = np.nan, np.inf
    return [
        ("W = 0", np.repeat([[0.1, 0.7], [0.3, 0.2]], 4, axis=0), labels),
        ("all points are equal", np.full((8, 3), 0.1), labels),
        ("one class", x, np.ones(8, bool)),
        ("one class", x, np.zeros(8, bool)),
        ("got 2", x[3:5], labels[3:5]),
        ("got 0", x[:0], labels[:0]),
        ("2 of 8 rows are not finite", broken, labels),
    ]


@pytest.mark.parametrize(("reason", "x", "labels"), degenerate())
def test_an_undefined_separation_is_missing_by_name_and_never_0_or_1(reason, x, labels):
    for index in INDICES:
        found = index(x, labels)
        assert np.isnan(found.value) and reason in found.reason and found.n == len(x)
    resamples = stratified(labels, rng(0), n_resamples=20)
    result = bootstrapped_eta(x, labels, resamples)
    assert reason in result.interval().reason and np.isnan(result.estimate)
    assert len(result.replicates) == 20
    drawn = shuffled_labels(labels, rng(0), n_permutations=20)
    for test in (eta_null, silhouette_null, dispersion):
        assert reason in test(x, labels, drawn).reason and np.isnan(test(x, labels, drawn).p)
    silhouette_interval = subsampled_silhouette(x, labels, halves(labels, rng(0), n_draws=20))
    assert reason in silhouette_interval.reason and np.isnan(silhouette_interval.estimate)
    probe = probe_scores(x, labels, 0)
    assert reason in probe.reason and np.isnan(probe.scores).all()
    assert auc(probe.scores, labels).reason


def test_means_that_coincide_have_an_eta_of_0_but_no_xie_beni():
    x, labels = np.array([[-1.0], [1.0], [-2.0], [2.0]]), np.array([True, True, False, False])
    assert eta_squared(x, labels).value == 0 and calinski_harabasz(x, labels).value == 0
    assert np.isnan(xie_beni(x, labels).value) and "coincide" in xie_beni(x, labels).reason


def test_equal_rows_are_0_apart_even_far_from_the_origin():
    x = np.repeat(rng(7).normal(size=(5, 300)) + 1e3, 2, axis=0)
    apart = distances(x)
    assert (apart[::2, 1::2].diagonal() == 0).all() and (apart.diagonal() == 0).all()
    assert apart[0, 2] > 0


def test_auc_is_that_of_scikit_learn_with_ties():
    scores, labels = rng(8).integers(0, 6, 50).astype(float), rng(9).random(50) < 0.4
    assert auc(scores, labels).value == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert auc(-scores, labels).value == pytest.approx(1 - auc(scores, labels).value)
    assert auc(scores, np.ones(50, bool)).reason == "all items are of one class"

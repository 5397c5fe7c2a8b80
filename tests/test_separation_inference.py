"""Intervals, nulls and probes of separation: against refitting by hand, and their own nulls."""

import numpy as np
import pytest
from planted_classes import planted, rng
from scipy import stats
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from tl_geometry.bootstrap import combined
from tl_geometry.probes import length_matched, probe_scores
from tl_geometry.separation import (
    adjusted_eta_squared,
    auc,
    distances,
    eta_squared,
    silhouette,
    silhouettes,
)
from tl_geometry.separation_intervals import (
    bootstrapped_auc,
    bootstrapped_eta,
    silhouette_replicates,
    subsampled_silhouette,
    subsampling_interval,
    weighted_eta,
)
from tl_geometry.separation_nulls import auc_null, dispersion, eta_null, silhouette_null
from tl_geometry.strata import halves, shuffled_labels, stratified

# --- resampling ---------------------------------------------------------------------------------


def test_resamples_keep_the_size_of_every_cell_and_units_stay_together():
    labels, groups = rng(10).random(60) < 0.5, list(rng(11).integers(0, 3, 60))
    weights = stratified(labels, rng(12), groups=groups, n_resamples=50).weights
    for safe in (True, False):
        for group in range(3):
            cell = (labels == safe) & (np.array(groups) == group)
            assert (weights[:, cell].sum(axis=1) == cell.sum()).all()
    assert weights.std() > 0.5
    pairs = stratified(np.arange(20) % 2 == 0, rng(13), units=[i // 2 for i in range(20)])
    assert (pairs.weights[:, ::2] == pairs.weights[:, 1::2]).all() and pairs.n == 10
    assert len(pairs.jackknife) == 1 and (pairs.jackknife[0].sum(axis=1) == 18).all()
    with pytest.raises(ValueError, match="two groups"):
        stratified(np.array([True, False]), rng(0), groups=["a", "b"], units=[0, 0])


@pytest.mark.parametrize("d", [3, 40])
def test_weighted_eta_is_that_of_repeated_rows_by_either_route(d):
    x, labels = planted(14, n=24, d=d)
    weights = stratified(labels, rng(15), n_resamples=30).weights
    literal = [
        eta_squared(np.repeat(x, w, axis=0), np.repeat(labels, w)).value
        for w in weights.astype(int)
    ]
    for through_gram in (True, False):
        eta = weighted_eta(x, labels, adjusted=False, through_gram=through_gram)
        np.testing.assert_allclose(eta(weights), literal, rtol=1e-10)
        adjusted = weighted_eta(x, labels, through_gram=through_gram)
        ones = np.ones((1, 24))
        assert adjusted(ones)[0] == pytest.approx(adjusted_eta_squared(x, labels).value)
    routes = [weighted_eta(x, labels, through_gram=route)(weights) for route in (True, False)]
    np.testing.assert_allclose(*routes, rtol=1e-10)


def test_a_resample_of_one_item_a_class_has_no_eta():
    x, labels = planted(16, n=6)
    weights = np.array([[3.0, 0, 0, 0, 3.0, 0], np.ones(6)])
    values = weighted_eta(x, labels)(weights)
    assert np.isnan(values[0]) and np.isfinite(values[1])


def test_replicates_of_adjusted_eta_lie_around_it_in_many_dimensions_and_plain_ones_above():
    x, labels = planted(17, n=60, d=600, shift=0.3)
    resamples = stratified(labels, rng(18), n_resamples=1000)
    result = bootstrapped_eta(x, labels, resamples)
    spread = result.replicates.std()
    assert abs(result.replicates.mean() - result.estimate) < 0.5 * spread
    assert result.interval().status == "ok"
    plain = bootstrapped_eta(x, labels, resamples, adjusted=False)
    assert plain.replicates.mean() - plain.estimate > 3 * plain.replicates.std()


def test_the_interval_of_eta_covers_the_truth():
    covered, trials = 0, 150
    for trial in range(trials):
        x, labels = planted(1000 + trial, n=100, d=8)
        resamples = stratified(labels, rng(19, trial), n_resamples=400)
        interval = bootstrapped_eta(x, labels, resamples).interval(0.9)
        covered += interval.low < 0.2 < interval.high
    assert stats.binom.cdf(covered, trials, 0.9) > 0.0005
    assert stats.binom.sf(covered - 1, trials, 0.9) > 0.0005


def test_the_mean_over_groups_ignores_what_separates_the_groups():
    x, labels = planted(20, n=90)
    groups = [i % 3 for i in range(90)]
    far = x + 50.0 * np.array(groups)[:, None]
    resamples = stratified(labels, rng(21), groups=groups, n_resamples=300)
    near, moved = (bootstrapped_eta(v, labels, resamples, groups=groups) for v in (x, far))
    by_hand = [adjusted_eta_squared(x[g::3], labels[g::3]).value for g in range(3)]
    assert near.estimate == pytest.approx(np.mean(by_hand))
    np.testing.assert_allclose(moved.replicates, near.replicates, atol=1e-9)
    far[2::3] = 1.0
    assert (
        "group 2: all points are equal"
        in bootstrapped_eta(far, labels, resamples, groups=groups).reason
    )


def test_two_models_on_the_same_resamples_have_a_narrower_difference_than_two_apart():
    x, labels = planted(22, n=100)
    other = x + 0.1 * rng(23).normal(size=x.shape)
    resamples = stratified(labels, rng(24), n_resamples=1000)
    one, two = (bootstrapped_eta(v, labels, resamples) for v in (x, other))
    gap = combined(lambda pair: pair[0] - pair[1], [one, two]).interval()
    alone = one.interval()
    assert gap.high - gap.low < 0.5 * (alone.high - alone.low)
    assert gap.estimate == pytest.approx(one.estimate - two.estimate)


def test_a_class_of_two_has_an_estimate_but_no_interval():
    x, labels = planted(25, n=12)[0], np.arange(12) < 2
    interval = bootstrapped_eta(x, labels, stratified(labels, rng(0), n_resamples=50)).interval()
    assert np.isfinite(interval.estimate) and "got 2" in interval.reason
    widths = subsampled_silhouette(x, labels, halves(labels, rng(0), n_draws=20))
    assert np.isfinite(widths.estimate) and "fewer than 2" in widths.reason


def test_the_bootstrap_of_auc_equals_repeated_scores_and_perfection_has_no_interval():
    scores, labels = rng(26).integers(0, 5, 30).astype(float), np.arange(30) < 12
    resamples = stratified(labels, rng(27), n_resamples=40)
    result = bootstrapped_auc(scores, labels, resamples)
    literal = [
        metrics.roc_auc_score(np.repeat(labels, w), np.repeat(scores, w))
        for w in resamples.weights.astype(int)
    ]
    np.testing.assert_allclose(result.replicates, literal)
    assert result.estimate == pytest.approx(auc(scores, labels).value)
    perfect = bootstrapped_auc(labels.astype(float), labels, resamples).interval()
    assert perfect.estimate == 1 and perfect.status == "missing"
    scores[3] = np.nan
    assert "1 of 30" in bootstrapped_auc(scores, labels, resamples).reason


def test_silhouettes_of_halves_are_those_of_the_rows_alone():
    x, labels = planted(28, n=40, share=0.3)
    drawn = halves(labels, rng(29), n_draws=20)
    assert (drawn[:, labels].sum(axis=1) == 6).all() and (drawn.sum(axis=1) == 20).all()
    literal = [metrics.silhouette_score(x[mask], labels[mask]) for mask in drawn]
    np.testing.assert_allclose(silhouette_replicates(x, labels, drawn), literal, rtol=1e-9)


def test_halves_give_the_standard_error_of_a_mean():
    # The factor that is stated: at m = n / 2 the deviations themselves have the right spread.
    values = rng(30).normal(size=400)
    drawn = halves(np.ones(400, bool), rng(31), n_draws=4000)
    replicates = (drawn @ values) / 200
    interval = subsampling_interval(float(values.mean()), replicates, 400, 200)
    expected = 2 * 1.96 * values.std(ddof=1) / 20
    assert interval.high - interval.low == pytest.approx(expected, rel=0.06)
    with pytest.raises(ValueError, match="0 < m < n"):
        subsampling_interval(0.0, replicates, 400, 400)


def test_the_interval_of_the_silhouette_covers_the_truth():
    x, labels = planted(32, n=2000, d=3)
    truth = silhouette(x, labels).value
    covered, trials = 0, 120
    for trial in range(trials):
        x, labels = planted(2000 + trial, n=80, d=3)
        interval = subsampled_silhouette(
            x, labels, halves(labels, rng(33, trial), n_draws=200), 0.9
        )
        covered += interval.low < truth < interval.high
    assert stats.binom.cdf(covered, trials, 0.9) > 0.0005
    assert stats.binom.sf(covered - 1, trials, 0.9) > 0.0005


# --- permutations -------------------------------------------------------------------------------


def test_permutations_stay_inside_their_group():
    labels, groups = rng(34).random(40) < 0.4, list(rng(35).integers(0, 4, 40))
    drawn = shuffled_labels(labels, rng(36), groups=groups, n_permutations=30)
    for group in range(4):
        rows = np.array(groups) == group
        assert (drawn[:, rows].sum(axis=1) == labels[rows].sum()).all()
    assert (drawn != labels).any()


@pytest.mark.parametrize("d", [4, 50])
def test_the_null_of_eta_is_eta_of_the_permuted_labels(d):
    x, labels = planted(37, n=30, d=d, shift=0.2)
    drawn = shuffled_labels(labels, rng(38), n_permutations=200)
    literal = np.array([adjusted_eta_squared(x, row).value for row in drawn])
    test = eta_null(x, labels, drawn)
    observed = adjusted_eta_squared(x, labels).value
    assert test.observed == pytest.approx(observed)
    assert test.p == (1 + (literal >= observed).sum()) / 201
    assert test.z == pytest.approx((observed - literal.mean()) / literal.std())


def test_permutation_p_is_uniform_under_the_null_for_every_index():
    p = {"eta": [], "grouped": [], "silhouette": [], "auc": [], "dispersion": []}
    groups = [i % 2 for i in range(24)]
    for trial in range(120):
        x, labels = rng(39, trial).standard_t(4, size=(24, 3)), np.arange(24) < 12
        drawn = shuffled_labels(labels, rng(40, trial), groups=groups, n_permutations=199)
        p["eta"].append(eta_null(x, labels, drawn).p)
        p["grouped"].append(eta_null(x, labels, drawn, groups=groups).p)
        p["silhouette"].append(silhouette_null(x, labels, drawn).p)
        p["auc"].append(auc_null(x[:, 0], labels, drawn).p)
        p["dispersion"].append(dispersion(x, labels, drawn).p)
    for name, values in p.items():
        assert stats.kstest(values, "uniform").pvalue > 0.001, name


def test_every_test_sees_an_effect_and_dispersion_does_not_take_a_shift_for_one():
    x, labels = planted(41, n=60)
    drawn = shuffled_labels(labels, rng(42), n_permutations=499)
    assert eta_null(x, labels, drawn).p == silhouette_null(x, labels, drawn).p == 1 / 500
    assert auc_null(x.sum(axis=1), labels, drawn).p == 1 / 500
    assert auc_null(-x.sum(axis=1), labels, drawn).p > 0.99
    assert dispersion(x, labels, drawn).p > 0.01
    wide = np.where(labels[:, None], 3.0, 1.0) * planted(43, shift=0.0)[0]
    assert dispersion(wide, labels, drawn).p == dispersion(wide, ~labels, ~drawn).p == 1 / 500
    assert dispersion(wide, labels, drawn).observed == pytest.approx(3.0, rel=0.25)
    assert eta_null(wide, labels, drawn).p > 0.01


def test_dispersion_is_a_ratio_of_unbiased_distances_for_unequal_classes():
    labels = np.arange(36) < 6
    drawn = shuffled_labels(labels, rng(44), n_permutations=20)
    ratios = [
        dispersion(rng(45, t).normal(size=(36, 30)), labels, drawn).observed for t in range(60)
    ]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.02)
    equal = rng(46).normal(size=(36, 2))
    equal[labels] = 0.3
    assert "items of a class are equal" in dispersion(equal, labels, drawn).reason


def test_groups_of_one_class_leave_nothing_to_permute():
    x, labels = planted(47, n=20)
    drawn = shuffled_labels(labels, rng(0), groups=labels.tolist(), n_permutations=10)
    test = eta_null(x, labels, drawn)
    assert np.isnan(test.p) and "no permutation changes" in test.reason
    assert "True" in eta_null(x, labels, drawn, groups=labels.tolist()).reason


def test_silhouettes_in_pieces_are_silhouettes_at_once(monkeypatch):
    x, labels = planted(48, n=20)
    drawn = shuffled_labels(labels, rng(49), n_permutations=700)
    whole = silhouettes(distances(x), drawn, ~drawn)
    single = [silhouettes(distances(x), row[None], ~row[None])[0] for row in drawn[::50]]
    monkeypatch.setattr("tl_geometry.separation.BUDGET", 1)
    np.testing.assert_allclose(silhouettes(distances(x), drawn, ~drawn), whole, rtol=1e-12)
    np.testing.assert_allclose(whole[::50], single, rtol=1e-12)


# --- probes and matching ------------------------------------------------------------------------


def test_a_probe_scores_chance_on_noise_and_near_1_on_a_direction():
    x, labels = planted(50, n=100, d=20, shift=0.0)
    noise = auc(probe_scores(x, labels, 0).scores, labels).value
    assert 0.25 < noise < 0.7
    x[:, 3] += 6 * labels
    assert auc(probe_scores(x, labels, 0).scores, labels).value > 0.97


def test_out_of_fold_scores_come_from_the_other_folds_alone():
    x, labels = planted(51, n=60, d=200, shift=0.0)
    found = probe_scores(x, labels, 0)
    held = found.folds == 2
    mean, spread = x[~held].mean(axis=0), x[~held].std(axis=0)
    literal = LogisticRegression(C=0.1, max_iter=5_000).fit(
        (x[~held] - mean) / spread, labels[~held]
    )
    expected = literal.decision_function((x[held] - mean) / spread)
    np.testing.assert_allclose(found.scores[held], expected, atol=1e-6)
    assert 0.2 < auc(found.scores, labels).value < 0.8


def test_folds_balance_cells_keep_twins_together_and_follow_the_seed():
    x, labels = rng(52).normal(size=(120, 4)), np.arange(120) % 2 == 0
    groups, units = [i // 40 for i in range(120)], [i // 2 for i in range(120)]
    plain = probe_scores(x, labels, 1, groups=groups).folds
    for cell in range(3):
        for safe in (True, False):
            rows = (np.array(groups) == cell) & (labels == safe)
            assert (np.bincount(plain[rows], minlength=5) == 4).all()
    twins = probe_scores(x, labels, 1, groups=groups, units=units).folds
    assert (twins[::2] == twins[1::2]).all() and set(twins) == set(range(5))
    np.testing.assert_array_equal(probe_scores(x, labels, 1, groups=groups).folds, plain)
    assert (probe_scores(x, labels, 2, groups=groups).folds != plain).any()


@pytest.mark.parametrize(
    ("labels", "units", "reason"),
    [
        (np.arange(20) < 4, None, "got 4"),
        (np.arange(20) < 10, [i % 3 for i in range(20)], "got 3"),
        (np.arange(20) < 10, [0] * 10 + list(range(1, 11)), "one class to learn from"),
    ],
)
def test_too_few_items_or_units_for_the_folds_are_named(labels, units, reason):
    found = probe_scores(planted(53, n=20)[0], labels, 0, units=units)
    assert reason in found.reason and np.isnan(found.scores).all()


def test_a_cell_smaller_than_the_folds_is_balanced_by_class_alone():
    labels, groups = np.arange(40) % 2 == 0, ["small"] * 4 + ["large"] * 36
    folds = probe_scores(planted(54, n=40)[0], labels, 0, groups=groups).folds
    assert (np.bincount(folds[labels]) == 4).all()


def test_matching_pairs_as_many_as_it_can_and_those_closely():
    # Greedy would give 10 its nearest, 11, and leave 12 without a partner within 2.
    lengths = np.array([10, 12, 11, 8, 40])
    labels = np.array([True, True, False, False, False])
    pairs = length_matched(lengths, labels, 2)
    assert {tuple(pair) for pair in pairs.tolist()} == {(0, 3), (1, 2)}
    assert {tuple(pair) for pair in length_matched(lengths, labels, 1).tolist()} in (
        {(0, 2)},
        {(1, 2)},
    )
    assert length_matched(lengths, labels, 0).shape == (0, 2)
    assert length_matched(lengths, np.ones(5, bool), 2).shape == (0, 2)
    with pytest.raises(ValueError, match="finite"):
        length_matched(np.array([1.0, np.nan]), np.array([True, False]), 1.0)

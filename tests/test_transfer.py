"""Maps between spaces, against maps that were planted, scikit-learn and SciPy."""

from typing import Any

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import Ridge as SkRidge
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from tl_geometry.resampling import simple_weights
from tl_geometry.transfer import (
    FITS,
    PENALTIES,
    LinearMap,
    cosine,
    held_out_r2,
    matched_layers,
    procrustes,
    r2,
    random_map,
    ridge,
    shuffled_fits,
)

N, D = 60, 8


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def states(rng: np.random.Generator) -> np.ndarray:
    """Unequal spread and a mean far from 0, as residual streams have them."""
    return rng.standard_normal((N, D)) * np.geomspace(1, 20, D) + 50


def rotation(rng: np.random.Generator, d: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


@pytest.mark.parametrize("wide", [3, D, 15])
def test_ridge_recovers_a_planted_map_at_any_width(states: Any, rng: Any, wide: Any) -> None:
    planted = rng.standard_normal((D, wide))
    fitted = ridge(states)(states @ planted + 7)
    np.testing.assert_allclose(fitted.linear, planted, atol=1e-3)
    assert fitted.penalty == min(PENALTIES)


@pytest.mark.parametrize("scale", [0.2, 1.0, 30.0])
def test_procrustes_recovers_a_planted_rotation_exactly(states: Any, rng: Any, scale: Any) -> None:
    planted = rotation(rng, D)
    fitted = procrustes(states)(scale * states @ planted - 4)
    np.testing.assert_allclose(fitted.linear, scale * planted, atol=1e-10)
    assert (fitted.scale, fitted.rank) == (pytest.approx(scale), D)


def test_procrustes_is_scipys(states: Any, rng: Any) -> None:
    target = states @ rng.standard_normal((D, D)) + 3 * rng.standard_normal((N, D))
    x, y = states - states.mean(0), target - target.mean(0)
    turned, strength = orthogonal_procrustes(x, y)
    fitted = procrustes(states)(target)
    np.testing.assert_allclose(fitted.linear / fitted.scale, turned, atol=1e-10)
    assert fitted.scale == pytest.approx(strength / np.square(x).sum())


def test_the_scale_of_procrustes_is_the_one_that_fits_best(states: Any, rng: Any) -> None:
    target = states @ rng.standard_normal((D, 3)) + rng.standard_normal((N, 3))
    fitted = procrustes(states)(target)

    def error(factor: float) -> float:
        other = LinearMap(factor * fitted.linear, fitted.source_mean, fitted.target_mean)
        return float(np.square(target - other.carry_states(states)).sum())

    assert error(1) < min(error(0.99), error(1.01))


def test_ridge_chooses_and_fits_as_scikit_learn_does(states: Any, rng: Any) -> None:
    target = states @ rng.standard_normal((D, 5)) + 40 * rng.standard_normal((N, 5))
    centred = states - states.mean(0)
    unit = np.square(np.linalg.svd(centred, compute_uv=False)).mean()
    fitted = ridge(states)(target)
    theirs = RidgeCV([p * unit for p in PENALTIES]).fit(states, target)
    assert fitted.penalty * unit == pytest.approx(theirs.alpha_)
    assert min(PENALTIES) < fitted.penalty < max(PENALTIES), "the choice must be one"
    np.testing.assert_allclose(fitted.linear, theirs.coef_.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fitted.carry_states(states), theirs.predict(states), rtol=1e-6)


def test_the_choice_of_the_penalty_knows_that_the_mean_is_fitted_too(rng: Any) -> None:
    """With few texts: without the mean's share of the leverage some of these are chosen wrong."""
    for _ in range(60):
        source, target = rng.standard_normal((6, 3)), rng.standard_normal((6, 2)) * (3, 1)
        target = target + source[:, :2]
        unit = np.square(np.linalg.svd(source - source.mean(0), compute_uv=False)).mean()
        theirs = RidgeCV([p * unit for p in PENALTIES]).fit(source, target)
        assert ridge(source)(target).penalty * unit == pytest.approx(theirs.alpha_)


def test_ridge_with_fewer_texts_than_dimensions_is_scikit_learns(rng: Any) -> None:
    source, target = rng.standard_normal((12, 40)), rng.standard_normal((12, 6))
    unit = np.square(np.linalg.svd(source - source.mean(0), compute_uv=False)[:11]).mean()
    fitted = ridge(source, [0.1])(target)
    theirs = SkRidge(alpha=0.1 * unit).fit(source, target)
    np.testing.assert_allclose(fitted.linear, theirs.coef_.T, atol=1e-10)


def test_a_carried_difference_is_the_difference_of_carried_states(states: Any, rng: Any) -> None:
    target = states @ rng.standard_normal((D, 5)) + rng.standard_normal((N, 5))
    for fit in FITS.values():
        fitted = fit(states)(target)
        moved = fitted.carry_states(states[:2])
        np.testing.assert_allclose(fitted.carry(states[0] - states[1]), moved[0] - moved[1])


def test_procrustes_keeps_lengths_and_angles_up_to_its_scale(states: Any, rng: Any) -> None:
    """Also into a wider space, and although the target is no rotation of the source."""
    fitted = procrustes(states)(states @ rng.standard_normal((D, 20)))
    a, b = rng.standard_normal((2, D))
    assert np.linalg.norm(fitted.carry(a)) == pytest.approx(fitted.scale * np.linalg.norm(a))
    assert cosine(fitted.carry(a), fitted.carry(b)) == pytest.approx(cosine(a, b))


def test_identical_spaces_give_the_identity(states: Any) -> None:
    np.testing.assert_allclose(procrustes(states)(states).linear, np.eye(D), atol=1e-12)
    np.testing.assert_allclose(ridge(states)(states).linear, np.eye(D), atol=1e-3)


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_narrow_to_wide_and_back_is_where_it_began(states: Any, rng: Any, fit: Any) -> None:
    wide = states @ rotation(rng, 20)[:D]
    there, back = fit(states)(wide), fit(wide)(states)
    vector = rng.standard_normal(D)
    np.testing.assert_allclose(back.carry(there.carry(vector)), vector, atol=1e-2)


def test_wide_to_narrow_loses_what_the_narrow_one_does_not_have(states: Any, rng: Any) -> None:
    narrow = states[:, -3:]
    fitted = procrustes(states)(narrow)
    assert fitted.rank == 3
    singular = np.linalg.svd(fitted.linear, compute_uv=False)
    np.testing.assert_allclose(singular, [fitted.scale] * 3, rtol=1e-10)


def test_what_the_texts_do_not_show_is_carried_nowhere(rng: Any) -> None:
    source, target = rng.standard_normal((6, 30)), rng.standard_normal((6, 30))
    unseen = np.linalg.svd(source - source.mean(0))[2][-1]
    for fit in FITS.values():
        fitted = fit(source)(target)
        assert np.linalg.matrix_rank(fitted.linear) == 5
        with pytest.raises(ValueError, match="kernel"):
            fitted.carry(unseen)


def test_r2_is_scikit_learns(states: Any, rng: Any) -> None:
    target = states @ rng.standard_normal((D, 4)) + 30 * rng.standard_normal((N, 4))
    weights = simple_weights(N, 200, rng)
    for fit in FITS.values():
        fitted = fit(states)(target)
        expected = r2_score(target, fitted.carry_states(states), multioutput="variance_weighted")
        assert held_out_r2(fitted, states, target, weights).estimate == pytest.approx(expected)
        assert r2(fitted, states, target) == pytest.approx(expected)


def test_a_map_that_only_knows_the_mean_of_the_fit_has_r2_0_or_below(states: Any, rng: Any) -> None:
    """Below where the held-out texts have another mean: to know that is not to know the texts."""
    nothing = LinearMap(np.zeros((D, D)), states.mean(0), states.mean(0))
    assert r2(nothing, states, states) == pytest.approx(0)
    apart = np.square(np.full(D, 30.0)).sum() * N / np.square(states - states.mean(0)).sum()
    assert r2(nothing, states + 30, states + 30) == pytest.approx(-apart)


def test_r2_of_resamples_is_that_of_the_repeated_texts(states: Any, rng: Any) -> None:
    target = states @ rng.standard_normal((D, 4)) + 30 * rng.standard_normal((N, 4))
    fitted = ridge(states)(target)
    weights = simple_weights(N, 5, rng)
    found = held_out_r2(fitted, states, target, weights)
    for drawn, replicate in zip(weights, found.replicates, strict=True):
        rows = np.repeat(np.arange(N), drawn.astype(int))
        assert replicate == pytest.approx(r2(fitted, states[rows], target[rows]))


def test_r2_is_1_for_a_planted_rotation_and_not_above_0_for_noise(rng: Any) -> None:
    source = rng.standard_normal((400, D))
    weights = simple_weights(200, 500, rng)
    turned, noise = source @ rotation(rng, D), rng.standard_normal((400, D))
    for fit in FITS.values():
        met = held_out_r2(fit(source[:200])(turned[:200]), source[200:], turned[200:], weights)
        assert met.estimate == pytest.approx(1, abs=1e-6)
        missed = held_out_r2(fit(source[:200])(noise[:200]), source[200:], noise[200:], weights)
        interval = missed.interval()
        assert -0.2 < missed.estimate < 0.01
        assert interval.low < missed.estimate < interval.high


def test_shuffled_pairings_predict_nothing_where_the_true_one_does(states: Any, rng: Any) -> None:
    target = states @ rng.standard_normal((D, D)) + rng.standard_normal((N, D))
    weights = simple_weights(20, 50, rng)
    for fit in FITS.values():
        fitter = fit(states[:40])
        true = held_out_r2(fitter(target[:40]), states[40:], target[40:], weights).estimate
        shuffled = shuffled_fits(fitter, target[:40], rng, 20)
        null = [held_out_r2(m, states[40:], target[40:], weights).estimate for m in shuffled]
        assert np.mean(null) < 0.05 < true
        assert len({round(value, 9) for value in null}) > 10, "every pairing is another"


def test_pairings_shuffled_inside_groups_keep_what_groups_share(rng: Any) -> None:
    """Groups tell all: shuffled inside them the map is as good, shuffled over them useless."""
    groups = np.arange(N) % 2
    source = groups[:, None] + 0.01 * rng.standard_normal((N, 2))
    target = 5.0 * groups[:, None] + 0.01 * rng.standard_normal((N, 2))
    fitter = ridge(source)
    inside, over = (
        [r2(m, source, target) for m in shuffled_fits(fitter, target, rng, 10, kept)]
        for kept in (groups.tolist(), None)
    )
    assert min(inside) > 0.99 and max(over) < 0.5


def test_controls_are_as_long_as_what_they_control(states: Any, rng: Any) -> None:
    fitted = ridge(states)(states @ rng.standard_normal((D, 5)))
    drawn = random_map(fitted, rng)
    assert drawn.norm == pytest.approx(fitted.norm)
    assert drawn.linear.shape == fitted.linear.shape


def test_layers_meet_at_the_same_relative_depth() -> None:
    assert matched_layers([0, 16, 27, 31], 32, 32) == [0, 16, 27, 31]
    assert matched_layers([27, 31], 32, 42) == [35, 40]
    assert matched_layers([21], 42, 28) == [14]
    with pytest.raises(ValueError, match="do not exist"):
        matched_layers([32], 32, 42)


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_what_cannot_be_mapped_is_refused(states: Any, fit: Any) -> None:
    holed = states.copy()
    holed[4, 2] = np.nan
    with pytest.raises(ValueError, match="at least 3 texts, got 2"):
        fit(states[:2])
    with pytest.raises(ValueError, match="the source's states are the same"):
        fit(np.ones((9, 3)))
    with pytest.raises(ValueError, match="the source's states is not finite"):
        fit(holed)
    fitter = fit(states)
    with pytest.raises(ValueError, match="the target's states are the same"):
        fitter(np.ones((N, 3)))
    with pytest.raises(ValueError, match="the target's states is not finite"):
        fitter(holed)
    with pytest.raises(ValueError, match="60 and 9 states do not pair"):
        fitter(states[:9])
    for vector in (np.zeros(D), np.full(D, np.inf)):
        with pytest.raises(ValueError, match="zero|not finite"):
            fitter(states).carry(vector)


def test_r2_and_cosines_that_are_undefined_are_refused(states: Any, rng: Any) -> None:
    fitted = procrustes(states)(states)
    weights = simple_weights(2, 20, rng)
    with pytest.raises(ValueError, match="undefined"):
        held_out_r2(fitted, states[:2], np.ones((2, D)), weights)
    with pytest.raises(ValueError, match="do not pair"):
        held_out_r2(fitted, states[:2], states[:3], weights)
    with pytest.raises(ValueError, match="undefined"):
        cosine(np.zeros(3), np.ones(3))
    few = held_out_r2(fitted, states[:2], states[:2] + 1, weights)
    assert "at least 3 units" in few.interval().reason
    with pytest.raises(ValueError, match="penalties"):
        ridge(states, [0.0])

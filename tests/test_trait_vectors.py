"""Planted traits are found, and labels that mean nothing are not."""

import numpy as np
import pytest

from tl_geometry.trait_vectors import (
    METHODS,
    Method,
    accuracy,
    as_long_apart,
    direction,
    half_swapped,
    held_out,
    random_like,
    shuffled,
)

D, N = 24, 60
LABELS = np.tile([True, False], N)
GROUPS = [f"question {k}" for k in range(N) for _ in range(2)]


def planted(shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise of length about √D around a common mean; the trait moves along `towards`."""
    rng = np.random.default_rng(seed)
    towards = rng.normal(size=D)
    towards /= np.linalg.norm(towards)
    x = rng.normal(size=(2 * N, D)) + 3.0
    return x + shift * np.where(LABELS, 1, -1)[:, None] * towards / 2, towards


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_mean_diff_is_the_difference_of_the_means_as_measured() -> None:
    x = np.array([[2.0, 0], [4, 0], [0, 1], [0, 3]])
    labels = np.array([True, True, False, False])
    assert direction(x, labels, "mean_diff").tolist() == [3, -2]


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_trait_is_found_and_told_on_held_out_questions(method: Method) -> None:
    x, towards = planted(6.0)
    assert cosine(direction(x, LABELS, method), towards) > 0.85
    found = accuracy(held_out(x, LABELS, GROUPS, method), LABELS, GROUPS, resamples=500)
    assert found.estimate >= 0.95 and found.low > 0.85 and found.n == N


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_mean_nothing_are_told_at_chance(method: Method) -> None:
    found = []
    for seed in range(8):
        x, _ = planted(0.0, seed)
        found.append(held_out(x, LABELS, GROUPS, method, seed=seed).hits.mean())
    assert abs(np.mean(found) - 0.5) < 0.06  # 960 hits: 3.7 standard errors


def test_a_groups_wordings_are_held_out_together() -> None:
    """What only names the group tells nothing: with folds by row it would tell all."""
    rng = np.random.default_rng(1)
    own = rng.normal(size=(N // 2, D)) * 5
    groups = [f"g{k}" for k in range(N // 2) for _ in range(4)]
    labels = np.repeat(rng.random(N // 2) < 0.5, 4)  # a whole group on one side
    x = np.repeat(own, 4, axis=0) + 0.01 * rng.normal(size=(2 * N, D))
    found = held_out(x, labels, groups, "probe")
    assert all(len(set(found.folds[4 * k : 4 * k + 4])) == 1 for k in range(N // 2))
    assert found.hits.mean() < 0.8
    assert "only one of the two sides" in accuracy(found, labels, groups).reason


def test_every_group_right_still_has_an_interval() -> None:
    x, _ = planted(60.0)
    found = accuracy(held_out(x, LABELS, GROUPS, "mean_diff"), LABELS, GROUPS)
    assert found.estimate == 1 and 0.9 < found.low < 1


def test_too_few_groups_are_a_reason_and_one_class_is_an_error() -> None:
    x, _ = planted(1.0)
    few = ["a", "b"] * N
    assert "5 folds" in accuracy(held_out(x, LABELS, few, "probe"), LABELS, few).reason
    with pytest.raises(ValueError, match="needs both"):
        direction(x, np.ones(2 * N, bool), "mean_diff")
    with pytest.raises(ValueError, match="no direction"):
        direction(np.ones((4, 2)), np.array([True, False, True, False]), "mean_diff")


def test_the_probe_sees_directions_and_not_lengths() -> None:
    x, _ = planted(6.0)
    lengths = np.random.default_rng(0).uniform(0.1, 50, size=(2 * N, 1))
    assert cosine(direction(x, LABELS, "probe"), direction(lengths * x, LABELS, "probe")) > 0.9999


@pytest.mark.parametrize("pairs", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_of_half_swapped_labels_nothing_of_the_true_difference_is_left(
    pairs: int, seed: int
) -> None:
    """The true difference is one direction for all; labels mixed at random keep some of it."""
    n_groups = 20
    groups = [f"group {k // (2 * pairs)}" for k in range(2 * pairs * n_groups)]
    labels = np.arange(len(groups)) % 2 == 0
    noise = np.random.default_rng(seed).normal(size=len(labels))
    x = np.stack([np.where(labels, 8.0, 2.0), noise], axis=1)
    mixed = half_swapped(labels, groups, seed)
    assert (mixed == labels).mean() == 0.5 and mixed.sum() == labels.sum()
    for name in set(groups):
        mine = np.array([g == name for g in groups])
        assert mixed[mine].sum() == labels[mine].sum()
    assert abs(direction(x, mixed, "mean_diff")[0]) < 1e-12
    assert abs(direction(x, shuffled(labels, groups, seed), "mean_diff")[0]) > 0.01
    assert not np.array_equal(mixed, half_swapped(labels, groups, seed + 1))


def test_shuffled_sides_keep_what_every_group_has() -> None:
    mixed = shuffled(LABELS, GROUPS, 3)
    assert (mixed.reshape(-1, 2).sum(1) == 1).all()
    assert 0.3 < (mixed != LABELS).mean() < 0.7


def test_a_random_direction_is_as_long() -> None:
    vector = np.arange(1.0, 9.0)
    drawn = random_like(vector, np.random.default_rng(0))
    assert np.linalg.norm(drawn) == pytest.approx(np.linalg.norm(vector))
    assert abs(cosine(drawn, vector)) < 0.95


def test_a_control_apart_from_a_vector_has_its_length_and_none_of_it() -> None:
    vector = np.array([[3.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    control = np.array([[5.0, 1.0, 0.0], [3.0, 4.0, -7.0]])
    assert np.allclose(as_long_apart(control, vector), [[0, 3, 0], [1.2, 1.6, 0]])

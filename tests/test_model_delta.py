"""What tuning did to states: a planted shift is found, noise is not taken for one."""

import numpy as np
import pytest
import torch

from tl_geometry import model_delta as delta
from tl_geometry.resampling import Statistic

N, D = 60, 12


def noise(seed: int = 0, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, D))


def halves(n: int = N) -> np.ndarray:
    return np.arange(n) % 2 == 0


def one(statistic: Statistic, n: int = N) -> float:
    return float(statistic(np.ones((1, n)))[0])


def test_the_svd_vector_is_numpys_component_at_the_length_of_the_mean() -> None:
    deltas = noise() * np.arange(1, D + 1) + 0.5
    rows = deltas - deltas.mean(0)
    expected = np.linalg.svd(rows, full_matrices=False)[2][3]
    found = delta.svd_vector(deltas, 3)
    assert abs(found @ expected) == pytest.approx(np.linalg.norm(deltas.mean(0)))
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(deltas.mean(0)))


@pytest.mark.parametrize("mirrored", [1.0, -1.0])
def test_a_component_points_towards_the_mean(mirrored: float) -> None:
    deltas = mirrored * (noise(1) + 0.3)
    for index in range(5):
        found = delta.component(deltas, index, centred=True)
        assert found @ deltas.mean(0) >= 0
        assert np.linalg.norm(found) == pytest.approx(1.0)


def test_centring_takes_one_component_away() -> None:
    deltas = noise(2, n=4)
    delta.component(deltas, 3, centred=False)
    with pytest.raises(ValueError, match="component 3 does not exist: 4 differences have 3"):
        delta.component(deltas, 3, centred=True)


def test_a_shared_shift_is_the_first_uncentred_component_and_gone_around_the_mean() -> None:
    shift = np.zeros(D)
    shift[4] = 30.0
    deltas = noise(3) + shift
    assert delta.component(deltas, 0, centred=False)[4] == pytest.approx(1.0, abs=0.01)
    assert delta.energy_shares(deltas, centred=False)[0] > 0.95
    assert delta.energy_shares(deltas, centred=True)[0] < 0.3
    assert delta.energy_shares(deltas, centred=True).sum() == pytest.approx(1.0)


def test_halves_agree_on_a_shift_and_not_on_noise() -> None:
    shifted = one(delta.halves_cosine(noise(4) + 5.0, halves()))
    assert shifted == pytest.approx(1.0, abs=0.01)
    by_chance = [one(delta.halves_cosine(noise(seed), halves())) for seed in range(200)]
    assert abs(np.mean(by_chance)) < 0.1


def test_coherence_of_noise_is_its_chance_level_and_nothing_across_halves() -> None:
    within = np.mean([delta.coherence(noise(seed)).mean() for seed in range(100)])
    across = np.mean([delta.coherence_across(noise(seed), halves()).mean() for seed in range(100)])
    chance = np.mean(
        [
            delta.coherence_by_chance(noise(seed), np.random.default_rng(seed), draws=20)
            for seed in range(100)
        ]
    )
    assert within == pytest.approx(chance, abs=0.01)
    assert within > 0.1 and abs(across) < 0.02


def test_the_chance_level_does_not_rise_with_a_shift() -> None:
    rng = np.random.default_rng(0)
    shifted = noise(5) + 5.0
    assert delta.coherence(shifted).mean() > 0.95
    assert delta.coherence_by_chance(shifted, rng) < 0.85  # of one line, with signs


def test_statistics_of_weights_are_those_of_repeated_rows() -> None:
    a, b = noise(6), noise(7)
    weights = np.random.default_rng(0).multinomial(N, np.full(N, 1 / N), size=3).astype(float)
    cosines, lengths = delta.cosine_of_means(a, b)(weights), delta.length_of_mean(a)(weights)
    for row, cosine, length in zip(weights.astype(int), cosines, lengths, strict=True):
        mean_a, mean_b = np.repeat(a, row, axis=0).mean(0), np.repeat(b, row, axis=0).mean(0)
        expected = mean_a @ mean_b / np.linalg.norm(mean_a) / np.linalg.norm(mean_b)
        assert cosine == pytest.approx(expected)
        assert length == pytest.approx(np.linalg.norm(mean_a))


def test_a_zero_row_has_no_cosine() -> None:
    assert np.isnan(delta.row_cosines(np.zeros((1, 3)), np.ones((1, 3)))).all()
    with pytest.raises(ValueError, match="no variance"):
        delta.energy_shares(np.zeros((5, 3)), centred=False)


def test_states_that_no_vector_can_be_made_of_are_refused() -> None:
    states = torch.zeros(5, 2, 3)
    with pytest.raises(ValueError, match="meet"):
        delta.check_states(states, torch.zeros(5, 2, 4))
    with pytest.raises(ValueError, match="base model's hidden states hold NaN"):
        delta.check_states(states / 0, states)
    with pytest.raises(ValueError, match="3 texts are too few"):
        delta.check_states(states[:3], states[:3])

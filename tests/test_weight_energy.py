"""Energy of a change along a direction: by hand, by draws, by the Beta distribution."""

import numpy as np
import pytest
from scipy import stats

from tl_geometry.statistics import benjamini_hochberg
from tl_geometry.weight_energy import energy_along, exceedance


def test_a_random_direction_takes_one_in_d_and_has_a_uniform_p() -> None:
    rng = np.random.default_rng(0)
    delta = rng.standard_normal((32, 80)) * np.linspace(0.1, 3, 32)[:, None]
    drawn = energy_along(delta, rng.standard_normal((2000, 32)))
    assert np.mean([one.share for one in drawn]) == pytest.approx(1 / 32, rel=0.02)
    assert drawn[0].expected == 1 / 32
    assert stats.kstest([one.p for one in drawn], "uniform").pvalue > 0.05


def test_the_share_is_that_of_hand() -> None:
    rng = np.random.default_rng(1)
    delta, v = rng.standard_normal((6, 9)), rng.standard_normal(6)
    (found,) = energy_along(delta, 7 * v[None])
    along = np.square(v @ delta).sum() / (v @ v)
    assert found.share == pytest.approx(along / np.square(delta).sum())
    (tiny,) = energy_along(1e-200 * delta, v[None])
    assert tiny.share == pytest.approx(found.share) and tiny.p == pytest.approx(found.p)


def test_p_is_what_brute_force_counts() -> None:
    rng = np.random.default_rng(2)
    delta = rng.standard_normal((12, 7)) * np.geomspace(0.2, 4, 12)[:, None]
    u = rng.standard_normal((400_000, 12))
    shares = np.square(u @ delta).sum(1) / np.square(u).sum(1) / np.square(delta).sum()
    eigenvalues = np.linalg.eigvalsh(delta @ delta.T / np.square(delta).sum())
    for quantile in (0.02, 0.3, 0.5, 0.9, 0.99, 0.999):
        share = float(np.quantile(shares, quantile))
        counted = float((shares >= share).mean())
        error = 4 * (counted * (1 - counted) / len(u)) ** 0.5
        assert exceedance(eigenvalues, share) == pytest.approx(counted, abs=error)


@pytest.mark.parametrize(("d", "rank"), [(2, 1), (3, 1), (8, 3), (64, 1), (64, 20), (1024, 2)])
@pytest.mark.parametrize("times", [0.01, 0.9, 1.0, 1.1, 2.5, 20.0])
def test_p_of_equal_eigenvalues_is_that_of_beta(d: int, rank: int, times: float) -> None:
    """To rounding, however small it is: 20 times the mean share of rank 20 in 64 is none."""
    eigenvalues = np.zeros(d)
    eigenvalues[:rank] = 1 / rank
    exact = stats.beta.sf(rank * times / d, rank / 2, (d - rank) / 2)
    assert exceedance(eigenvalues, times / d) == pytest.approx(exact, rel=1e-9, abs=1e-300)


def test_the_ends_are_certain() -> None:
    eigenvalues = np.array([0.1, 0.2, 0.7])
    assert exceedance(eigenvalues, 0.7) == 0 and exceedance(eigenvalues, 0.1) == 1
    assert 0 < exceedance(eigenvalues, 0.7 - 1e-6) < 1e-2
    assert 1 > exceedance(eigenvalues, 0.1 + 1e-6) > 0.99
    flat = energy_along(np.eye(4), np.eye(4))
    assert [one.p for one in flat] == [1.0] * 4


def test_one_hit_among_many_stays_a_hit() -> None:
    """Drawn p could be 1 in 1001 at best, which no correction over 512 rows lets through."""
    rng = np.random.default_rng(3)
    found, v = [], rng.standard_normal(64)
    for k in range(512):
        delta = rng.standard_normal((64, 64))
        if k == 100:
            delta += 2 * np.outer(v / np.linalg.norm(v), rng.standard_normal(64))
        found += energy_along(delta, v[None])
    adjusted = benjamini_hochberg(np.array([one.p for one in found]))
    assert np.flatnonzero(adjusted < 0.05).tolist() == [100]


def test_what_has_no_share_is_refused() -> None:
    delta, v = np.eye(3), np.ones((2, 3))
    with pytest.raises(ValueError, match="difference is zero"):
        energy_along(0 * delta, v)
    with pytest.raises(ValueError, match="row 1 is zero"):
        energy_along(delta, v * [[1], [0]])
    with pytest.raises(ValueError, match="a direction"):
        energy_along(delta, v * np.nan)
    with pytest.raises(ValueError, match="no directions to share out"):
        energy_along(delta[:1], v[:, :1])

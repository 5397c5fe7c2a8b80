import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_geometry.geometry import (
    attention_entropy,
    expansion,
    gram,
    log_r_v,
    next_token_kl,
    participation_ratio,
    r_v,
    relative_change,
    spectral_participation,
)


def by_svd(x: torch.Tensor) -> torch.Tensor:
    """The independent route: diagonalise, then the definition."""
    energy = torch.linalg.svdvals(x.double()).square()
    return energy.sum(-1).square() / energy.square().sum(-1)


@st.composite
def windows(draw: st.DrawFn) -> torch.Tensor:
    shape = [draw(st.integers(1, 4)), draw(st.integers(1, 20)), draw(st.integers(1, 20))]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scale = draw(st.sampled_from([1e-18, 1e-3, 1.0, 1e18]))
    return scale * torch.randn(shape, generator=generator)


@given(windows())
@settings(deadline=None, max_examples=150)
def test_it_equals_the_svd_route(x: torch.Tensor) -> None:
    torch.testing.assert_close(participation_ratio(x), by_svd(x), rtol=1e-9, atol=1e-9)


@given(windows(), st.integers(0, 2**31))
@settings(deadline=None, max_examples=100)
def test_scale_sign_row_order_rotation_and_repeated_columns_change_nothing(
    x: torch.Tensor, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = x.double()
    rows = torch.randperm(x.shape[-2], generator=generator)
    square = torch.randn(x.shape[-1], x.shape[-1], generator=generator, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(square)
    expected = participation_ratio(x)
    for same in (-7.3 * x, x[..., rows, :], x @ rotation, x.repeat_interleave(3, dim=-1)):
        torch.testing.assert_close(participation_ratio(same), expected, rtol=1e-9, atol=1e-9)


@given(windows())
@settings(deadline=None, max_examples=100)
def test_it_lies_between_one_and_the_smaller_side(x: torch.Tensor) -> None:
    ratio = participation_ratio(x)
    assert (ratio >= 1 - 1e-9).all() and (ratio <= min(x.shape[-2:]) + 1e-9).all()


def test_limits_by_hand() -> None:
    line = torch.outer(torch.arange(1.0, 6.0), torch.randn(9))
    assert participation_ratio(line).item() == pytest.approx(1.0)
    orthonormal = torch.linalg.qr(torch.randn(20, 16, dtype=torch.float64)).Q.mT
    assert participation_ratio(orthonormal).item() == pytest.approx(16.0)
    # Singular values 2 and 1: (4 + 1)² / (16 + 1) = 25/17.
    assert participation_ratio(torch.diag(torch.tensor([2.0, 1.0]))).item() == pytest.approx(
        25 / 17
    )


@pytest.mark.parametrize(("w", "d"), [(16, 1024), (16, 32), (8, 64)])
def test_gaussian_rows_give_w_d_over_w_plus_d_plus_one(w: int, d: int) -> None:
    x = torch.randn(400, w, d, generator=torch.Generator().manual_seed(1))
    assert participation_ratio(x).mean().item() == pytest.approx(w * d / (w + d + 1), rel=0.02)


def test_one_long_row_dominates_unless_rows_are_normalised() -> None:
    x = torch.randn(16, 1024, generator=torch.Generator().manual_seed(0))
    x[3] *= 8
    assert participation_ratio(x).item() < 2
    assert participation_ratio(x, row_normalized=True).item() > 15


def test_a_shared_mean_dominates_unless_centred() -> None:
    x = torch.randn(16, 1024, generator=torch.Generator().manual_seed(0)) + 5
    assert participation_ratio(x).item() < 1.1
    # Centred Gaussian rows: one degree of freedom of the 16 is spent on the mean.
    assert participation_ratio(x, centered=True).item() == pytest.approx(15, rel=0.03)


def test_centring_and_row_normalising_follow_their_definitions() -> None:
    x = torch.randn(5, 7, dtype=torch.float64)
    centered = x - x.mean(0)
    torch.testing.assert_close(participation_ratio(x, centered=True), by_svd(centered))
    rows = x / x.norm(dim=1, keepdim=True)
    torch.testing.assert_close(participation_ratio(x, row_normalized=True), by_svd(rows))


@pytest.mark.parametrize("bad", [torch.zeros(4, 8), torch.full((4, 8), torch.nan)])
def test_a_window_without_geometry_is_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="undefined"):
        participation_ratio(bad)


def test_inside_a_batch_a_degenerate_window_is_nan_and_its_neighbours_are_not() -> None:
    x = torch.randn(3, 4, 8)
    x[1] = 0
    ratio = spectral_participation(gram(x))
    assert ratio.isnan().tolist() == [False, True, False]


def test_the_smaller_gram_matrix_is_used() -> None:
    assert gram(torch.randn(2, 16, 1024)).shape == (2, 16, 16)
    assert gram(torch.randn(2, 16, 5)).shape == (2, 5, 5)


def test_r_v_is_the_ratio_of_late_to_early() -> None:
    late, early = torch.eye(4), torch.outer(torch.ones(4), torch.arange(1.0, 5.0))
    assert r_v(late, early).item() == pytest.approx(4.0)
    assert log_r_v(late, early).item() == pytest.approx(math.log(4))
    assert log_r_v(early, late).item() == pytest.approx(-math.log(4))
    assert expansion(late, early).item() == pytest.approx(4.0)


def test_entropy_of_known_distributions() -> None:
    uniform = torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0])
    certain = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0])
    entropy = attention_entropy(torch.stack([uniform, certain]))
    assert entropy.tolist() == pytest.approx([math.log(4), 0.0])


def test_relative_change_and_kl_by_hand() -> None:
    reference = torch.tensor([[3.0, 4.0]])
    assert relative_change(reference * 1.5, reference).item() == pytest.approx(0.5)
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    expected = 0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75)
    assert next_token_kl(p.log() + 3, q.log()).item() == pytest.approx(expected)
    assert next_token_kl(p.log(), p.log()).item() == 0

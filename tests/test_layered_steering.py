"""A vector of its own at every layer: nothing at strength zero, what is meant at the site, no leak
between rows, and lengths that are kept."""

from typing import Any

import pytest
import torch

N_LAYERS, D = 5, 48


@pytest.fixture(scope="module")
def bridge() -> Any:
    from tiny import tiny

    return tiny("mistral").bridge


PROMPTS = ([5, 6, 7], [9, 8, 7, 6, 5, 4], [11])


def batch_of(model: Any, prompts: Any = PROMPTS) -> Any:
    from tl_geometry.tokens import pad

    return pad(model, [list(ids) for ids in prompts])


def layered(vectors: torch.Tensor, layers: tuple[int, ...], keep_norm: bool) -> Any:
    from tl_geometry.layered_steering import LayeredSteering

    return LayeredSteering(vectors, layers, keep_norm)


def vectors(rows: int, n: int = 2) -> torch.Tensor:
    return torch.randn(rows, n, D, generator=torch.Generator().manual_seed(0))


def logits(model: Any, how: Any = None, prompts: Any = PROMPTS) -> torch.Tensor:
    from tl_geometry.capture import last_logits

    batch = batch_of(model, prompts)
    if how is None:
        return last_logits(model, batch)
    with how.held(model, batch):
        return last_logits(model, batch)


@pytest.mark.parametrize("keep_norm", [False, True])
def test_zero_changes_no_bit_even_beside_rows_that_are_steered(
    bridge: Any, keep_norm: bool
) -> None:
    steered = vectors(3)
    steered[1] = 0
    before, after = logits(bridge), logits(bridge, layered(steered, (1, 3), keep_norm))
    assert torch.equal(after[1], before[1])
    assert not torch.allclose(after[0], before[0])


@pytest.mark.parametrize("keep_norm", [False, True])
def test_rows_of_a_batch_are_what_they_are_alone(bridge: Any, keep_norm: bool) -> None:
    how = layered(vectors(3), (1, 3), keep_norm)
    together = logits(bridge, how)
    for k, ids in enumerate(PROMPTS):
        alone = logits(bridge, how.rows([k]), [ids])
        torch.testing.assert_close(together[k : k + 1], alone, atol=1e-4, rtol=1e-4)


def test_the_site_shows_the_vector_and_padding_shows_nothing(bridge: Any) -> None:
    how, batch = layered(vectors(3), (2, 4), False), batch_of(bridge)
    edit = how.edits(batch)[4]
    x = torch.randn(3, 6, D)
    change = edit(x) - x
    real = batch.mask[..., None] > 0
    expected = torch.where(real, how.vectors[:, 1, None], torch.zeros(()))
    torch.testing.assert_close(change, expected, atol=1e-5, rtol=0)


def test_kept_lengths_are_those_before(bridge: Any) -> None:
    how, batch = layered(10 * vectors(3), (2, 4), True), batch_of(bridge)
    x = torch.randn(3, 6, D)
    torch.testing.assert_close(how.edits(batch)[2](x).norm(dim=-1), x.norm(dim=-1))
    new_token = torch.randn(3, 1, D)
    assert not torch.allclose(how.edits(batch)[2](new_token), new_token)


def test_random_vectors_are_the_same_stack_turned() -> None:
    """As long at every layer, and pulling together as much: a control drawn layer by layer would
    be a weaker push than vectors that point alike."""
    from tl_geometry.layered_steering import random_like

    like = vectors(1, 4)[0] + 2 * vectors(1, 1)[0]  # much alike at all four layers
    one, other = (random_like(like, torch.Generator().manual_seed(k)) for k in (1, 2))
    torch.testing.assert_close(one @ one.T, like @ like.T, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one.sum(0).norm(), like.sum(0).norm())
    assert torch.cosine_similarity(one, other).abs().max() < 0.6


def test_every_direction_is_as_likely() -> None:
    from tl_geometry.layered_steering import random_like

    like = torch.eye(8)[:2] * 3
    drawn = [random_like(like, torch.Generator().manual_seed(k)) for k in range(2000)]
    mean = torch.stack(drawn).mean(0)
    assert mean.abs().max() < 4 * 3 / (8 * 2000) ** 0.5  # four standard errors


def test_what_does_not_fit_is_refused(bridge: Any) -> None:
    with pytest.raises(ValueError, match="2 vectors a row meet 1 layers"):
        layered(vectors(1), (3,), True)
    with pytest.raises(ValueError, match="NaN"):
        layered(vectors(1) / 0, (1, 2), True)
    with pytest.raises(ValueError, match="1 rows of steering meet 3"):
        layered(vectors(1), (1, 2), True).edits(batch_of(bridge))

import pytest
import torch
from tiny import tiny

from tl_geometry import sites
from tl_geometry.capture import last_logits, observed
from tl_geometry.sites import check_layers, depth_percent, layer_at
from tl_geometry.tokens import pad


@pytest.mark.parametrize(
    ("fraction", "n_layers", "layer"),
    [(27 / 32, 32, 27), (5 / 32, 32, 5), (27 / 32, 28, 23), (0.5, 42, 21), (0.3, 10, 3), (0, 5, 0)],
)
def test_depth_is_floored_to_a_layer(fraction: float, n_layers: int, layer: int) -> None:
    assert layer_at(fraction, n_layers) == layer


def test_every_layer_is_its_own_depth() -> None:
    assert all(layer_at(k / n, n) == k for n in range(1, 81) for k in range(n))


def test_depth_one_is_no_layer() -> None:
    with pytest.raises(ValueError, match="below 1"):
        layer_at(1.0, 32)


def test_depth_percent_is_the_layer_over_the_number_of_layers() -> None:
    assert depth_percent(27, 32) == pytest.approx(84.375)


def test_unknown_layers_are_named_with_the_valid_range() -> None:
    with pytest.raises(ValueError, match=r"\[32\] do not exist.*0 to 31"):
        check_layers([3, 32], 32)
    with pytest.raises(ValueError, match="no layers"):
        check_layers([], 32)


@pytest.mark.parametrize(
    ("family", "parallel", "norms"),
    [
        ("mistral", False, ["ln1", "ln2"]),
        ("gemma2", False, ["ln1", "ln1_post", "ln2", "ln2_post"]),
        ("falcon", True, ["ln1"]),
        ("pythia", True, ["ln1", "ln2"]),
        ("gpt2", False, ["ln1", "ln2"]),
    ],
)
def test_sites_know_the_shape_of_a_block(family: str, parallel: bool, norms: list[str]) -> None:
    bridge = tiny(family).bridge
    assert sites.is_parallel(bridge) is parallel
    assert list(sites.scales(bridge, 2)) == norms


@pytest.mark.parametrize("family", ["mistral", "gemma2", "falcon", "gpt2"])
def test_scales_are_the_denominators_of_their_norms(family: str) -> None:
    bridge = tiny(family).bridge
    batch = pad(bridge, [[0, 5, 6, 7, 8]])
    got: dict[str, torch.Tensor] = {}
    names = ["blocks.2.ln1.hook_in", "blocks.2.ln1.hook_scale"]
    with observed(bridge, {n: (lambda x, n=n: got.__setitem__(n, x.clone())) for n in names}):
        last_logits(bridge, batch)
    x, scale = (got[n].squeeze(0) for n in names)
    centre = x.mean(-1, keepdim=True) if family in ("falcon", "gpt2") else 0
    expected = (x - centre).square().mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(scale.float(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "falcon"])
def test_attention_and_mlp_outputs_add_up_to_the_residual_stream(family: str) -> None:
    bridge = tiny(family).bridge
    batch = pad(bridge, [[0, 5, 6, 7, 8]])
    got: dict[str, torch.Tensor] = {}
    names = [f(2) for f in (sites.resid_pre, sites.attn_out, sites.mlp_out, sites.resid_post)]
    with observed(bridge, {n: (lambda x, n=n: got.__setitem__(n, x.clone())) for n in names}):
        last_logits(bridge, batch)
    before, attn, mlp, after = (got[n] for n in names)
    torch.testing.assert_close(before + attn + mlp, after, atol=1e-4, rtol=1e-4)

"""When the plain twin speaks for the bridge, and when it must not."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from tiny import tiny, tokenizer
from torch import Tensor, nn

from tl_geometry import sites
from tl_geometry.generation import generate
from tl_geometry.interventions import edited
from tl_geometry.models import wrap
from tl_geometry.tokens import TokenBatch, encode, pad
from tl_geometry.twins import decoder_blocks, faithful_twin, held_hooks, shared_copy, twin_of

TEXTS = ["a", "a longer prompt of bytes", "middle one"]


def _fresh(family: str) -> Any:
    plain = copy.deepcopy(tiny(family).plain)
    return wrap(plain, tokenizer(), source=f"tiny/{family}", device="cpu")


@pytest.fixture
def fresh() -> Any:
    """A model of its own, to be changed."""
    return _fresh("mistral")


def _batch(model: Any) -> TokenBatch:
    return pad(model, encode(model, TEXTS))


def _said(model: Any, **options: Any) -> list[list[int]]:
    return generate(model, _batch(model), max_new_tokens=8, ends=(), **options).tolist()


def _by_forward_passes(model: Any) -> list[list[int]]:
    """Greedy by the bridge's own forward pass, no cache: what `generate` has to say."""
    batch = _batch(model)
    ids, mask = batch.ids, batch.mask
    for _ in range(8):
        with torch.no_grad():
            best = model(ids, attention_mask=mask, use_cache=False)[:, -1].argmax(-1)
        ids = torch.cat([ids, best[:, None]], 1)
        mask = torch.cat([mask, torch.ones_like(best)[:, None]], 1)
    return ids[:, -8:].tolist()


def _block(model: Any) -> nn.Module:
    return decoder_blocks(model.original_model)[2]


def _halved(output: Any) -> Any:
    return (0.5 * output[0], *output[1:]) if isinstance(output, tuple) else 0.5 * output


def _hook_behind(model: Any) -> Any:
    return _block(model).register_forward_hook(lambda module, given, output: _halved(output))


def _hook_in_front(model: Any) -> Any:
    return _block(model).register_forward_pre_hook(lambda module, given: (-given[0], *given[1:]))


def _hook_of_transformer_lens(model: Any) -> Any:
    model.add_hook(sites.resid_post(2), lambda x, hook: -x)
    return model.hook_dict[sites.resid_post(2)]


@pytest.mark.parametrize("plant", [_hook_behind, _hook_in_front])
def test_a_hook_of_torch_on_the_original_is_heard(fresh: Any, plant: Callable[[Any], Any]) -> None:
    free = _said(fresh)
    assert faithful_twin(fresh) is twin_of(fresh) is not None
    handle = plant(fresh)
    assert faithful_twin(fresh) is None and held_hooks(fresh)
    assert _said(fresh) == _by_forward_passes(fresh) != free
    handle.remove()
    assert faithful_twin(fresh) is twin_of(fresh) and _said(fresh) == free


def test_a_hook_of_transformer_lens_is_heard(fresh: Any) -> None:
    free = _said(fresh)
    point = _hook_of_transformer_lens(fresh)
    assert faithful_twin(fresh) is None
    assert _said(fresh) == _by_forward_passes(fresh) != free
    point.remove_hooks()
    assert faithful_twin(fresh) is twin_of(fresh) and _said(fresh) == free


def test_a_replaced_parameter_is_heard(fresh: Any) -> None:
    free = _said(fresh)
    head = fresh.original_model.get_output_embeddings()
    home = head if "weight" in head._parameters else head.original_component
    home.weight = nn.Parameter(home.weight.detach().flip(0))
    assert faithful_twin(fresh) is None
    assert _said(fresh) == _by_forward_passes(fresh) != free


def test_what_is_written_into_a_parameter_is_written_in_both(fresh: Any) -> None:
    free = _said(fresh)
    weight = fresh.original_model.get_parameter(
        next(n for n, _ in fresh.original_model.named_parameters() if "down_proj" in n)
    )
    with torch.no_grad():
        weight.mul_(-3)
    assert faithful_twin(fresh) is twin_of(fresh)
    assert _said(fresh) == _by_forward_passes(fresh) != free


@pytest.mark.parametrize("family", ["falcon", "pythia", "phi3", "gpt2"])
def test_what_is_written_into_a_part_of_a_fused_matrix_is_heard(family: str) -> None:
    bridge = _fresh(family)
    free = _said(bridge)
    _by_forward_passes(bridge)
    assert faithful_twin(bridge) is twin_of(bridge), "a pass alone writes nothing"
    parts = [p for name, p in bridge.original_model.named_parameters() if ".v." in name]
    with torch.no_grad():
        for part in parts:
            part.mul_(-2)
    assert _said(bridge) == _by_forward_passes(bridge) != free


def test_an_adapter_is_heard(fresh: Any) -> None:
    class Adapted(nn.Module):
        def __init__(self, base: nn.Module) -> None:
            super().__init__()
            self.base, self.share = base, nn.Parameter(torch.tensor(-2.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.share * self.base(x)

    free = _said(fresh)
    mlp = _block(fresh).get_submodule("_original_component.mlp._original_component")
    mlp.down_proj = Adapted(mlp.down_proj)  # pyright: ignore[reportArgumentType] # any module will do
    assert faithful_twin(fresh) is None
    assert _said(fresh) == _by_forward_passes(fresh) != free


def test_steering_reaches_a_bridge_whose_twin_is_not_faithful(fresh: Any) -> None:
    def push(x: Tensor) -> Tensor:
        return x.roll(1, -1)

    _hook_behind(fresh)
    with edited(fresh, {sites.resid_post(3): push}):
        expected = _by_forward_passes(fresh)
    assert _said(fresh, edits={3: push}) == expected != _said(fresh)


def test_a_pass_leaves_the_twin_faithful(fresh: Any) -> None:
    _by_forward_passes(fresh)
    with edited(fresh, {sites.resid_post(3): torch.clone}):
        assert faithful_twin(fresh) is None
        _by_forward_passes(fresh)
    assert faithful_twin(fresh) is twin_of(fresh)


# --- offloaded models -----------------------------------------------------------------------------


def test_an_offloaded_model_has_no_twin_and_speaks_all_the_same(fresh: Any) -> None:
    model = cpu_offload(copy.deepcopy(tiny("mistral").plain))
    assert all(parameter.is_meta for parameter in model.parameters())
    bridge = wrap(model, tokenizer(), source="tiny/mistral")
    assert twin_of(bridge) is None and faithful_twin(bridge) is None
    assert _said(bridge) == _said(fresh)


def test_meta_weights_cannot_be_shared() -> None:
    model = copy.deepcopy(tiny("mistral").plain)
    model.model.layers[4].to("meta")
    with pytest.raises(ValueError, match="offloaded"):
        shared_copy(model)

"""Ablation and affine edits: what is taken out is gone, and padding is never touched."""

import copy
from typing import Any

import pytest
import torch
from steered import LAYERS, D
from steered import batch_of as _batch
from steered import said as _said
from steered import vectors as _vectors
from tiny import FAMILIES, tiny, tokenizer
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import last_logits, observed
from tl_geometry.models import wrap
from tl_geometry.steering import (
    ablated,
    affine,
    on_real_tokens,
    steering,
    without,
)
from tl_geometry.tokens import TokenBatch


def _along(bridge: Any, batch: TokenBatch, unit: Tensor) -> tuple[float, float]:
    """(largest |x · r̂| at real tokens of any edited site or block output, largest |x|)."""
    names = [
        at(n)
        for n in range(LAYERS)
        for at in (sites.resid_pre, sites.attn_out, sites.mlp_out, sites.resid_post)
    ]
    seen: dict[str, Tensor] = {}
    readers = {name: (lambda x, n=name: seen.__setitem__(n, x.clone())) for name in names}
    with observed(bridge, readers):
        last_logits(bridge, batch)
    real = batch.mask.bool()
    rows = unit.expand(len(batch), -1)[:, None]
    along = [(x.reshape(*real.shape, D) * rows).sum(-1)[real].abs().max() for x in seen.values()]
    return float(max(along)), float(max(x.abs().max() for x in seen.values()))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("each", [False, True])
def test_an_ablated_direction_is_gone_from_all_that_is_written(family: str, each: bool) -> None:
    bridge = tiny(family).bridge
    batch = _batch(bridge)
    unit = torch.nn.functional.normalize(_vectors(len(batch)), dim=-1)
    unit = unit if each else unit[0]
    with ablated(bridge, unit, batch.mask):
        left, scale = _along(bridge, batch, unit)
    assert left < 1e-5 * max(1.0, scale)
    assert _along(bridge, batch, unit)[0] > 0.1


WRITERS = {
    "llama": ("embed_tokens.", "o_proj.", "down_proj."),
    "pythia": ("embed_in.", "attention.dense.", "dense_4h_to_h."),
}


@pytest.mark.parametrize("family", WRITERS)
def test_ablation_is_what_subtracting_from_the_weights_does(family: str) -> None:
    """Arditi et al. 2024, eq. 5: W − r̂ r̂ᵀ W (and b − r̂ r̂ᵀ b) wherever the stream is written."""
    model = tiny(family)
    unit = torch.nn.functional.normalize(_vectors(1)[0], dim=-1)
    changed, edited_names = copy.deepcopy(model.plain), []
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            if any(part in name for part in WRITERS[family]):
                edited_names.append(name)
                if "embed" in name:  # [vocab d]: each row is written
                    parameter -= (parameter @ unit)[:, None] * unit
                elif parameter.ndim == 2:  # [d in]
                    parameter -= unit[:, None] * (unit @ parameter)
                else:
                    parameter -= (parameter @ unit) * unit
    assert len(edited_names) == 1 + LAYERS * {"llama": 2, "pythia": 4}[family]
    batch = _batch(model.bridge)
    with torch.no_grad():
        theirs = changed(
            batch.ids, attention_mask=batch.mask, position_ids=batch.position_ids
        ).logits[:, -1]
    with ablated(model.bridge, unit, batch.mask):
        ours = last_logits(model.bridge, batch)
    scale = float(theirs.abs().max())
    torch.testing.assert_close(ours, theirs, atol=1e-4 * scale, rtol=0)
    assert not torch.allclose(last_logits(model.bridge, batch), theirs, atol=1e-2 * scale)


def test_ablating_twice_is_ablating_once() -> None:
    x = torch.randn(3, 4, D, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(_vectors(3), dim=-1)
    once = without(unit)(x)
    torch.testing.assert_close(without(unit)(once), once, atol=1e-6, rtol=0)
    torch.testing.assert_close(once[1:2], without(unit[1])(x[1:2]))


def test_affine_by_hand() -> None:
    """r = (2, 0): x = (5, 1), reference (3, 7) → its component 3, plus amount times r."""
    r, reference = torch.tensor([[2.0, 0.0]] * 2), torch.tensor([[3.0, 7.0]] * 2)
    x = torch.tensor([[[5.0, 1.0]], [[5.0, 1.0]]])
    new = affine(r, reference, torch.tensor([0.0, 1.0]))(x)
    assert new.tolist() == [[[3.0, 1.0]], [[5.0, 1.0]]]


def test_affine_moves_to_the_reference_and_adds_the_raw_vector() -> None:
    r, reference = 3 * _vectors(4), _vectors(4, seed=2)
    unit = torch.nn.functional.normalize(r, dim=-1)
    x = torch.randn(4, 6, D, generator=torch.Generator().manual_seed(0))
    removed = affine(r, reference, torch.zeros(4))(x)
    added = affine(r, reference, torch.ones(4))(x)
    along = (removed * unit[:, None]).sum(-1)
    wanted = (reference * unit).sum(-1, keepdim=True).expand_as(along)
    torch.testing.assert_close(along, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(without(unit)(removed), without(unit)(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(added - removed, r[:, None].expand_as(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("edit", [without(_vectors(1)[0]), lambda x: x + 1])
def test_padding_is_never_touched(edit: Any) -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    x = torch.randn(2, 4, D, generator=torch.Generator().manual_seed(0))
    new = on_real_tokens(edit, mask)(x)
    assert torch.equal(new[mask == 0], x[mask == 0])
    assert torch.equal(new[mask == 1], edit(x)[mask == 1])
    one = x[:, :1]  # a generated token, in a row that began with padding
    assert torch.equal(on_real_tokens(edit, mask)(one), edit(one))


def test_padding_is_not_ablated_in_the_model() -> None:
    bridge = tiny("llama").bridge
    batch = _batch(bridge)
    unit = torch.nn.functional.normalize(_vectors(1)[0], dim=-1)
    seen: list[Tensor] = []
    reader = {sites.resid_pre(0): lambda x: seen.append(x.clone())}
    with observed(bridge, reader):
        last_logits(bridge, batch)
    with ablated(bridge, unit, batch.mask), observed(bridge, reader):
        last_logits(bridge, batch)
    filler = batch.mask == 0
    assert filler.any() and torch.equal(seen[0][filler], seen[1][filler])
    assert not torch.equal(seen[0], seen[1])


def test_the_model_is_as_before_behind_the_block_and_behind_an_exception() -> None:
    # A model of its own: that one is shared.
    bridge: Any = wrap(
        copy.deepcopy(tiny("llama").plain), tokenizer(), source="tiny/steering", device="cpu"
    )
    batch = _batch(bridge)
    weights = {name: p.clone() for name, p in bridge.original_model.named_parameters()}
    free, said = last_logits(bridge, batch), _said(bridge, batch)
    unit = torch.nn.functional.normalize(_vectors(1)[0], dim=-1)
    with ablated(bridge, unit, batch.mask):
        assert not torch.equal(last_logits(bridge, batch), free)
    assert torch.equal(last_logits(bridge, batch), free)
    with pytest.raises(ZeroDivisionError), ablated(bridge, unit, batch.mask):
        _ = 1 / 0
    assert torch.equal(last_logits(bridge, batch), free)
    edits = steering(5 * unit, len(batch), 1, LAYERS).edits(batch)

    def fail(x: Tensor) -> Tensor:
        raise ZeroDivisionError

    assert not torch.equal(_said(bridge, batch, edits), said)
    with pytest.raises(ZeroDivisionError):
        _said(bridge, batch, {**edits, 3: fail})
    assert torch.equal(_said(bridge, batch), said)
    assert torch.equal(last_logits(bridge, batch), free)
    after = dict(bridge.original_model.named_parameters())
    assert all(torch.equal(after[name], weight) for name, weight in weights.items())

"""Steering and ablation: what is changed is what was asked for, where it was asked for."""

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from tiny import FAMILIES, tiny, tokenizer
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import last_logits, observed
from tl_geometry.directions import Direction
from tl_geometry.generation import generate
from tl_geometry.interventions import edited
from tl_geometry.models import wrap
from tl_geometry.steering import (
    Positions,
    Span,
    Steering,
    ablated,
    absolute_dose,
    affine,
    on_real_tokens,
    stated,
    steering,
    without,
)
from tl_geometry.tokens import TokenBatch, pad
from tl_geometry.twins import decoder_blocks, twin_of

LAYERS, D = 5, 48
SPANS = {"layer": [2], "to_end": [2, 3, 4], "everywhere": [0, 1, 2, 3, 4]}
LENGTHS = (9, 3, 14, 6)


def _batch(bridge: Any, lengths: Sequence[int] = LENGTHS) -> TokenBatch:
    generator = torch.Generator().manual_seed(4)
    rows = [[0, *torch.randint(3, 259, (n,), generator=generator).tolist()] for n in lengths]
    return pad(bridge, rows)


def _vectors(n: int, seed: int = 1) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def _logits(bridge: Any, batch: TokenBatch, given: Steering) -> Tensor:
    named = {sites.resid_post(layer): edit for layer, edit in given.edits(batch).items()}
    with edited(bridge, named):
        return last_logits(bridge, batch)


def _said(bridge: Any, batch: TokenBatch, edits: Any = None) -> Tensor:
    return generate(bridge, batch, max_new_tokens=5, ends=(), edits=edits)


# --- doses ----------------------------------------------------------------------------------------

KNOWN = Direction(torch.tensor([3.0, 4.0]), 1, -1, "dim", None, {"residual_norm": 20.0})
UNKNOWN = Direction(torch.tensor([3.0, 4.0]), 1, -1, "dim")


@pytest.mark.parametrize(("unit", "multiple"), [("unit", 2.0), ("raw", 10.0), ("residual", 40.0)])
def test_a_dose_by_hand(unit: Any, multiple: float) -> None:
    assert absolute_dose(KNOWN, 2.0, unit) == pytest.approx(multiple)
    all_three = stated(KNOWN, 2.0, unit)
    assert all_three == pytest.approx(
        {"dose_unit": multiple, "dose_raw": multiple / 5, "dose_residual": multiple / 20}
    )
    assert all_three[f"dose_{unit}"] == pytest.approx(2.0)


def test_without_the_residual_norm_that_unit_alone_is_missing() -> None:
    told = stated(UNKNOWN, -3.0, "raw")
    assert told["dose_unit"] == pytest.approx(-15) and told["dose_raw"] == pytest.approx(-3)
    assert told["dose_residual"] != told["dose_residual"]
    with pytest.raises(ValueError, match="how long the residual stream is"):
        absolute_dose(UNKNOWN, 1.0, "residual")


def test_an_unknown_unit_is_named() -> None:
    unit: Any = "metres"
    # The plain function: the type checker of the tests would refuse the word first.
    bare = absolute_dose.__wrapped__  # pyright: ignore[reportFunctionMemberAccess] # of the type checker
    with pytest.raises(ValueError, match="'metres' is unknown: choose unit, raw or residual"):
        bare(KNOWN, 1.0, unit)


# --- steering -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_strength_zero_is_bit_for_bit_nothing(family: str) -> None:
    bridge = tiny(family).bridge
    batch = _batch(bridge)
    nothing = steering(0.0 * _vectors(1)[0], len(batch), 2, LAYERS)
    assert torch.equal(_logits(bridge, batch, nothing), last_logits(bridge, batch))
    assert torch.equal(_said(bridge, batch, nothing.edits(batch)), _said(bridge, batch))


@pytest.mark.parametrize("family", ["llama", "gemma2", "falcon"])
@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("positions", ["all", "prompt", "generated"])
def test_the_intended_change_is_seen_at_the_site(
    family: str, span: Span, positions: Positions
) -> None:
    """At every step: what goes into the next block minus what the block made is the vector."""
    bridge = tiny(family).bridge
    batch, vector = _batch(bridge), 2 * _vectors(1)[0]
    given = steering(vector, len(batch), 2, LAYERS, span, positions)
    twin: Any = twin_of(bridge)
    blocks = decoder_blocks(twin)
    made: dict[int, list[Tensor]] = {n: [] for n in range(LAYERS)}
    entered: dict[int, list[Tensor]] = {n: [] for n in range(1, LAYERS)}

    def looks(n: int) -> tuple[Callable[..., None], Callable[..., None]]:
        def behind(module: Any, call: Any, output: Any) -> None:
            made[n].append((output[0] if isinstance(output, tuple) else output).clone())

        def in_front(module: Any, call: Any, options: Any) -> None:
            entered[n].append((call[0] if call else options["hidden_states"]).clone())

        return behind, in_front

    with ExitStack() as stack:
        for n in range(LAYERS):
            behind, in_front = looks(n)
            stack.callback(blocks[n].register_forward_hook(behind).remove)
            if n:
                handle = blocks[n].register_forward_pre_hook(in_front, with_kwargs=True)
                stack.callback(handle.remove)
        said = _said(bridge, batch, given.edits(batch))
    assert said.shape[1] == 5 and all(len(steps) == 5 for steps in made.values())
    real = batch.mask.bool()
    for n in range(LAYERS - 1):
        for step, (before, after) in enumerate(zip(made[n], entered[n + 1], strict=True)):
            mine = positions in ("all", "generated" if step else "prompt")
            if n in SPANS[span] and mine:
                kept = real if step == 0 else torch.ones(len(batch), 1).bool()
                change = (after - before)[kept]
                close = 1e-5 * float(before.abs().max().clamp(min=1))
                torch.testing.assert_close(change, vector.expand_as(change), atol=close, rtol=0)
                assert torch.equal(after[~kept], before[~kept])
            else:
                assert torch.equal(after, before)


@pytest.mark.parametrize("span", SPANS)
def test_the_last_block_s_output_too(span: Span) -> None:
    """No block behind it sees it: the final norm does."""
    bridge = tiny("llama").bridge
    batch, vector = _batch(bridge), 2 * _vectors(1)[0]
    layer = 4 if span == "layer" else 2
    given = steering(vector, len(batch), layer, LAYERS, span)
    free: list[Tensor] = []
    steered: list[Tensor] = []
    edits = given.edits(batch)

    def act(x: Tensor) -> Tensor:
        free.append(x.clone())
        steered.append(edits[4](x).clone())
        return steered[-1]

    _said(bridge, batch, {4: act})
    assert len(free) == 5
    for step, (before, after) in enumerate(zip(free, steered, strict=True)):
        kept = batch.mask.bool() if step == 0 else torch.ones(len(batch), 1).bool()
        assert torch.equal(after[~kept], before[~kept])
        torch.testing.assert_close(after[kept], before[kept] + vector)


def test_both_ways_of_the_same_edits_agree() -> None:
    """The twin, and the bridge with hooks held open."""
    bridge = tiny("gemma2").bridge
    batch = _batch(bridge)
    given = steering(3 * _vectors(1)[0], len(batch), 1, LAYERS)
    by_twin = _said(bridge, batch, given.edits(batch))
    held = {sites.resid_post(n): edit for n, edit in given.edits(batch).items()}
    with edited(bridge, held):
        assert torch.equal(_said(bridge, batch), by_twin)
    assert not torch.equal(_said(bridge, batch), by_twin)


def _mixed() -> Steering:
    """Every row has its own direction, dose, layer and span."""
    spans: tuple[Span, ...] = ("layer", "to_end", "everywhere", "to_end")
    doses, layers = (4.0, -2.0, 0.5, 8.0), (3, 1, 0, 4)
    parts = [
        steering(dose * vector, 1, layer, LAYERS, span)
        for dose, vector, layer, span in zip(doses, _vectors(4), layers, spans, strict=True)
    ]
    return Steering.stack(parts)


@pytest.mark.parametrize("family", ["llama", "gemma2", "falcon", "opt", "mixtral"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_rows_do_not_leak(family: str, size: int) -> None:
    bridge = tiny(family).bridge
    batch, given = _batch(bridge), _mixed()
    assert len(given) == len(batch) == 4
    together = _logits(bridge, batch, given)
    said = _said(bridge, batch, given.edits(batch))
    free = last_logits(bridge, batch)
    for index in torch.arange(4).split(size):
        part = batch.rows(index)
        alone = _logits(bridge, part, given.rows(index))
        scale = float(together.abs().max())
        torch.testing.assert_close(alone, together[index], atol=1e-4 * scale, rtol=0)
        assert torch.equal(_said(bridge, part, given.rows(index).edits(part)), said[index])
    assert (together - free).abs().amax(-1).min() > 1e-2


def test_a_row_that_is_not_steered_is_bit_for_bit_free() -> None:
    bridge = tiny("llama").bridge
    batch = _batch(bridge)
    vectors = _vectors(4) * torch.tensor([5.0, 0.0, 5.0, 0.0])[:, None]
    layers = torch.zeros(4, LAYERS, dtype=torch.bool)
    layers[:3, 2] = True  # the second row's vector is zero, the fourth has no layer
    logits, free = _logits(bridge, batch, Steering(vectors, layers)), last_logits(bridge, batch)
    assert torch.equal(logits[[1, 3]], free[[1, 3]])
    assert not torch.allclose(logits[[0, 2]], free[[0, 2]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 5}, r"layers \[5\] do not exist: this model has layers 0 to 4"),
        ({"layer": -1}, r"layers \[-1\] do not exist"),
        ({"span": "upwards"}, "span 'upwards' is unknown: choose layer, to_end or everywhere"),
        ({"positions": "last"}, "positions 'last' is unknown: choose all, prompt or generated"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    bare = steering.__wrapped__  # pyright: ignore[reportFunctionMemberAccess] # of the type checker
    with pytest.raises(ValueError, match=message):
        bare(**{"vector": _vectors(1)[0], "rows": 2, "layer": 2, "n_layers": LAYERS} | options)


def test_rows_that_cannot_go_together_are_refused() -> None:
    one, other = (
        steering(_vectors(1)[0], 1, 2, LAYERS, "layer", where) for where in ("all", "prompt")
    )
    with pytest.raises(ValueError, match="same kind of positions"):
        Steering.stack([one, other])
    with pytest.raises(ValueError, match="1 rows of steering meet 4 rows of prompts"):
        one.edits(_batch(tiny("llama").bridge))


# --- ablation -------------------------------------------------------------------------------------


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

"""Steering: what is changed is what was asked for, where it was asked for."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from steered import LAYERS
from steered import batch_of as _batch
from steered import said as _said
from steered import vectors as _vectors
from tiny import FAMILIES, tiny
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import last_logits
from tl_geometry.directions import Direction
from tl_geometry.interventions import edited
from tl_geometry.steering import Positions, Span, Steering, absolute_dose, stated, steering
from tl_geometry.tokens import TokenBatch
from tl_geometry.twins import decoder_blocks, twin_of

SPANS = {"layer": [2], "to_end": [2, 3, 4], "everywhere": [0, 1, 2, 3, 4]}


def _logits(bridge: Any, batch: TokenBatch, given: Steering) -> Tensor:
    named = {sites.resid_post(layer): edit for layer, edit in given.edits(batch).items()}
    with edited(bridge, named):
        return last_logits(bridge, batch)


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

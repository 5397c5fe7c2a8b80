"""Interventions, capture and resuming, against a plain Hugging Face twin with plain hooks."""

from typing import Any

import pytest
import torch
from tiny import FAMILIES, Tiny, tiny

from tl_geometry import sites
from tl_geometry.capture import last_logits, observed, residual_before
from tl_geometry.hooks import SilentHookError
from tl_geometry.interventions import edited, frozen, is_writable, replaced
from tl_geometry.resume import resumed
from tl_geometry.tokens import TokenBatch, pad

LAYER = 3


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Tiny:
    return tiny(request.param)


def unequal(bridge: Any, lengths: tuple[int, ...] = (9, 21, 14, 21)) -> TokenBatch:
    generator = torch.Generator().manual_seed(4)
    rows = [[0, *torch.randint(3, 259, (n,), generator=generator).tolist()] for n in lengths]
    return pad(bridge, rows)


def seen(bridge: Any, batch: TokenBatch, *names: str) -> list[torch.Tensor]:
    got: dict[str, torch.Tensor] = {}
    readers = {n: (lambda x, n=n: got.__setitem__(n, x.clone())) for n in names}
    with observed(bridge, readers):
        got["logits"] = last_logits(bridge, batch)
    return [got[n] for n in (*names, "logits")]


def test_logits_and_residual_equal_the_plain_model(model: Tiny) -> None:
    batch = unequal(model.bridge)
    with torch.inference_mode():
        out = model.plain(
            batch.ids,
            attention_mask=batch.mask,
            position_ids=batch.position_ids,
            output_hidden_states=True,
        )
    resid, logits = seen(model.bridge, batch, sites.resid_pre(LAYER))
    scale = out.logits.abs().max()
    torch.testing.assert_close(logits, out.logits[:, -1], atol=float(1e-4 * scale), rtol=0)
    window = (slice(None), slice(-5, None))
    torch.testing.assert_close(
        resid[window], out.hidden_states[LAYER][window], atol=2e-4, rtol=1e-4
    )


def test_each_row_of_a_padded_batch_is_what_it_is_alone(model: Tiny) -> None:
    batch = unequal(model.bridge)
    names = [sites.value(LAYER), sites.resid_post(LAYER), sites.mlp_out(LAYER)]
    together = seen(model.bridge, batch, *names)
    for row in range(len(batch)):
        n = int(batch.lengths[row])
        alone = pad(model.bridge, [batch.ids[row, -n:].tolist()])
        for whole, single in zip(together, seen(model.bridge, alone, *names), strict=True):
            mine = whole[row : row + 1]
            mine = mine[:, -9:] if whole.dim() > 2 else mine
            single = single[:, -9:] if whole.dim() > 2 else single
            torch.testing.assert_close(mine, single, atol=2e-4, rtol=1e-3)


def test_residual_before_a_layer_is_what_a_full_pass_sees(model: Tiny) -> None:
    batch = unequal(model.bridge)
    for layer in (0, LAYER, 4):
        full, _ = seen(model.bridge, batch, sites.resid_pre(layer))
        real = batch.mask.bool()
        assert torch.equal(residual_before(model.bridge, batch, layer)[real], full[real])


def test_resuming_is_bit_equal_to_the_full_pass_and_leaves_the_model_as_it_was(
    model: Tiny,
) -> None:
    batch = unequal(model.bridge)
    names = [sites.value(4), sites.resid_post(LAYER), sites.pattern(4)]
    before = seen(model.bridge, batch, *names)
    for layer in (0, 1, LAYER):
        kept = residual_before(model.bridge, batch, layer)
        with resumed(model.bridge, layer, kept):
            again = seen(model.bridge, batch, *names)
        assert all(torch.equal(a, b) for a, b in zip(before, again, strict=True))
    after = seen(model.bridge, batch, *names)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_skipped_blocks_really_do_not_run(model: Tiny) -> None:
    batch = unequal(model.bridge)
    kept = residual_before(model.bridge, batch, LAYER)
    calls: list[int] = []
    handles = [
        block.attn.register_forward_hook(lambda *_, n=n: calls.append(n))
        for n, block in enumerate(model.bridge.blocks)
    ]
    try:
        with resumed(model.bridge, LAYER, kept):
            last_logits(model.bridge, batch)
        assert calls == [3, 4]
        with (
            pytest.raises(SilentHookError, match="blocks.1"),
            resumed(model.bridge, LAYER, kept),
            observed(model.bridge, {sites.value(1): lambda _: None}),
        ):
            last_logits(model.bridge, batch)
    finally:
        for handle in handles:
            handle.remove()


def test_resuming_survives_an_exception(model: Tiny) -> None:
    batch = unequal(model.bridge)
    before = last_logits(model.bridge, batch)
    kept = residual_before(model.bridge, batch, LAYER)
    with pytest.raises(ZeroDivisionError), resumed(model.bridge, LAYER, kept):
        _ = 1 / 0
    assert torch.equal(last_logits(model.bridge, batch), before)


def test_writing_own_values_back_changes_nothing_bit_for_bit(model: Tiny) -> None:
    batch = unequal(model.bridge)
    own, before = seen(model.bridge, batch, sites.value(LAYER))
    with replaced(model.bridge, sites.value(LAYER), own[:, -8:]):
        assert torch.equal(last_logits(model.bridge, batch), before)


def test_replaced_rows_carry_the_new_values_and_the_other_rows_do_not_notice(model: Tiny) -> None:
    batch = unequal(model.bridge)
    names = [sites.value(LAYER), sites.value(2), sites.resid_post(4)]
    v, early, late, logits = seen(model.bridge, batch, *names)
    new = torch.randn(2, 8, *v.shape[2:], generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([1, 3])
    with replaced(model.bridge, sites.value(LAYER), new, rows):
        v_new, early_new, late_new, logits_new = seen(model.bridge, batch, *names)
    assert torch.equal(v_new[rows, -8:], new)
    assert torch.equal(v_new[:, :-8], v[:, :-8])
    assert torch.equal(early_new, early)
    others = torch.tensor([0, 2])
    assert torch.equal(late_new[others], late[others])
    assert torch.equal(logits_new[others], logits[others])
    assert not torch.allclose(late_new[rows, -8:], late[rows, -8:])
    assert torch.equal(last_logits(model.bridge, batch), logits)


@pytest.mark.parametrize("family", ["mistral", "llama", "qwen2", "gemma2", "mixtral"])
def test_a_value_patch_equals_a_forward_hook_on_the_plain_model(family: str) -> None:
    model = tiny(family)
    batch = unequal(model.bridge)
    v, _ = seen(model.bridge, batch, sites.value(LAYER))
    new = torch.randn_like(v[:, -8:])
    with replaced(model.bridge, sites.value(LAYER), new):
        patched = last_logits(model.bridge, batch)

    def hook(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        output[:, -8:] = new.flatten(2)
        return output

    handle = model.plain.model.layers[LAYER].self_attn.v_proj.register_forward_hook(hook)
    try:
        with torch.inference_mode():
            expected = model.plain(
                batch.ids, attention_mask=batch.mask, position_ids=batch.position_ids
            ).logits[:, -1]
    finally:
        handle.remove()
    torch.testing.assert_close(patched, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


def test_frozen_sites_hold_the_twin_s_value_and_only_there(model: Tiny) -> None:
    one = unequal(model.bridge, (12,))
    batch = one.rows(torch.tensor([0, 0, 0]))  # twin, patched, patched and frozen
    names = [sites.mlp_out(4), sites.attn_out(4), sites.resid_post(4)]
    v, *_ = seen(model.bridge, one, sites.value(LAYER))
    new = torch.randn(2, 8, *v.shape[2:])
    rows, twin = torch.tensor([1, 2]), torch.tensor([0, 1, 0])
    with (
        replaced(model.bridge, sites.value(LAYER), new, rows),
        frozen(model.bridge, names[:2], twin),
    ):
        mlp, attn, resid, _ = seen(model.bridge, batch, *names)
    for component in (mlp, attn):
        assert torch.equal(component[2], component[0])
        assert not torch.allclose(component[1], component[0])
    assert not torch.allclose(resid[2], resid[0])


def test_frozen_norms_hold_their_scale_even_where_rows_come_flattened(model: Tiny) -> None:
    one = unequal(model.bridge, (12, 12))
    batch = one.rows(torch.tensor([0, 1]))
    for name in sites.scales(model.bridge, 4).values():
        (scale, _) = seen(model.bridge, batch, name)
        with frozen(model.bridge, [name], torch.tensor([0, 0])):
            (held, _) = seen(model.bridge, batch, name)
        first, second = held.reshape(2, -1)
        assert torch.equal(first, second) and torch.equal(first, scale.reshape(2, -1)[0])


def test_hooks_that_only_show_a_copy_are_recognised(model: Tiny) -> None:
    family = next(name for name in FAMILIES if tiny(name) is model)
    assert is_writable(model.bridge, sites.pattern(2)) is (family != "opt")
    assert is_writable(model.bridge, sites.mlp_out(2))
    assert is_writable(model.bridge, sites.attn_out(2))
    assert is_writable(model.bridge, sites.block(2, "ln1.hook_scale"))


def test_interventions_make_new_tensors_and_leave_the_old_ones_alone() -> None:
    bridge = tiny("mistral").bridge
    batch = unequal(bridge)
    before, _ = seen(bridge, batch, sites.value(LAYER))
    handed_over: list[torch.Tensor] = []
    with (
        observed(bridge, {sites.value(LAYER): handed_over.append}),  # outside: before the edit
        replaced(bridge, sites.value(LAYER), torch.zeros_like(before[:, -8:])),
    ):
        last_logits(bridge, batch)
    assert torch.equal(handed_over[0], before)


def test_a_reader_inside_an_intervention_sees_what_was_written() -> None:
    # The hook-order trap: measured before the patch, a patch looks like no change at all.
    bridge = tiny("mistral").bridge
    batch = unequal(bridge)
    with edited(bridge, {sites.value(LAYER): torch.zeros_like}):
        v, _ = seen(bridge, batch, sites.value(LAYER))
    assert not v.any()


def test_what_a_reader_returns_never_reaches_the_model() -> None:
    bridge = tiny("mistral").bridge
    batch = unequal(bridge)
    before = last_logits(bridge, batch)
    with observed(bridge, {sites.value(LAYER): torch.zeros_like}):  # type: ignore[dict-item] # the point: it returns something
        assert torch.equal(last_logits(bridge, batch), before)


def test_a_hook_that_cannot_fire_is_an_error() -> None:
    falcon = tiny("falcon").bridge
    silent = sites.block(2, "attn.hook_rot_q")  # fused query-key-value: exists, never called
    with pytest.raises(SilentHookError, match="hook_rot_q"), observed(falcon, {silent: print}):
        last_logits(falcon, unequal(falcon))
    with pytest.raises(SilentHookError, match="not run"), observed(falcon, {sites.value(0): print}):
        pass


def test_the_failure_of_a_pass_is_not_hidden_behind_silent_hooks() -> None:
    bridge = tiny("mistral").bridge
    with pytest.raises(ZeroDivisionError), observed(bridge, {sites.value(0): print}):
        _ = 1 / 0


def test_layers_that_do_not_exist_are_refused() -> None:
    bridge = tiny("mistral").bridge
    batch = unequal(bridge)
    with pytest.raises(ValueError, match="0 to 4"):
        residual_before(bridge, batch, 5)
    resid = torch.zeros(1, 1, 48)
    with pytest.raises(ValueError, match="0 to 4"), resumed(bridge, -1, resid):
        pass

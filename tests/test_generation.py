from typing import Any

import pytest
import torch
from tiny import FAMILIES, tiny
from torch import Tensor

from tl_geometry import sites
from tl_geometry.generation import decode, generate, stop_ids
from tl_geometry.interventions import edited
from tl_geometry.tokens import encode, pad
from tl_geometry.twins import SilentBlockError, blocks_edited, twin_of

TEXTS = ["a", "a longer prompt of bytes", "middle one"]


def _batch() -> tuple[Any, Any]:
    bridge = tiny("mistral").bridge
    return bridge, pad(bridge, encode(bridge, TEXTS))


def _greedy_by_hand(plain: Any, ids: list[int], n: int) -> list[int]:
    """One row alone, no cache, no padding, the untouched Hugging Face model."""
    new: list[int] = []
    for _ in range(n):
        with torch.no_grad():
            logits = plain(torch.tensor([ids + new])).logits
        new.append(int(logits[0, -1].argmax()))
        if new[-1] == 1:
            break
    return new


def test_a_padded_batch_says_what_every_row_says_alone() -> None:
    bridge, batch = _batch()
    new = generate(bridge, batch, max_new_tokens=6)
    for row, ids in zip(new.tolist(), encode(bridge, TEXTS), strict=True):
        alone = _greedy_by_hand(tiny("mistral").plain, ids, 6)
        assert row[: len(alone)] == alone


def test_only_new_ids_are_returned_and_greedy_repeats_itself() -> None:
    bridge, batch = _batch()
    first = generate(bridge, batch, max_new_tokens=5)
    assert first.shape[0] == 3 and first.shape[1] <= 5
    assert torch.equal(first, generate(bridge, batch, max_new_tokens=5))


def test_hooks_act_while_generating() -> None:
    bridge, batch = _batch()
    calls = 0

    def silence(value: Tensor, hook: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.zeros_like(value)

    free = generate(bridge, batch, max_new_tokens=4)
    with bridge.hooks(fwd_hooks=[("blocks.4.hook_resid_post", silence)]):
        held = generate(bridge, batch, max_new_tokens=4)
    assert calls == held.shape[1]
    assert not torch.equal(free, held)
    assert torch.equal(free, generate(bridge, batch, max_new_tokens=4))


def test_sampling_is_decided_by_the_generator_alone() -> None:
    bridge, batch = _batch()

    def drawn(seed: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        ids = generate(bridge, batch, max_new_tokens=8, temperature=2.0, generator=generator)
        return ids.tolist()

    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one = drawn(1)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(4)
    assert one == drawn(1)
    assert one != drawn(2)


def test_an_answer_ends_at_the_end_of_sequence() -> None:
    bridge = tiny("mistral").bridge
    ids = [[*encode(bridge, ["yes"])[0][1:], 1, 70, 71], [1, 1, 1]]
    assert decode(bridge, ids) == ["yes", ""]
    assert decode(bridge, torch.tensor([[72, 1, 1]])) == [bridge.tokenizer.decode([72])]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "at least 1"),
        ({"max_new_tokens": 2, "temperature": -1.0}, "negative"),
        ({"max_new_tokens": 2, "temperature": 1.0}, "generator"),
    ],
)
def test_bad_requests_are_refused(options: dict[str, Any], message: str) -> None:
    bridge, batch = _batch()
    with pytest.raises(ValueError, match=message):
        generate(bridge, batch, **options)


# --- the plain twin -------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_twin_shares_every_tensor(family: str) -> None:
    bridge = tiny(family).bridge
    twin: Any = twin_of(bridge)
    ours = {p.data_ptr() for p in bridge.original_model.parameters()}
    assert all(p.data_ptr() in ours for p in twin.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_steering_the_twin_is_steering_the_bridge(family: str) -> None:
    bridge = tiny(family).bridge
    batch = pad(bridge, encode(bridge, TEXTS))
    push = 3 * torch.randn(3, 1, 48, generator=torch.Generator().manual_seed(1))  # a row, a push
    edits = {2: lambda x: x + push, 4: lambda x: 0.5 * x}
    free = generate(bridge, batch, max_new_tokens=6)
    steered = generate(bridge, batch, max_new_tokens=6, edits=edits)
    with edited(bridge, {sites.resid_post(layer): edit for layer, edit in edits.items()}):
        by_bridge = generate(bridge, batch, max_new_tokens=6)
    assert decode(bridge, steered) == decode(bridge, by_bridge)
    assert steered.shape != free.shape or not torch.equal(steered, free)
    for row in range(3):  # its own push travels with each row
        one = pad(bridge, [encode(bridge, TEXTS)[row]])
        own = {2: lambda x, row=row: x + push[row], 4: lambda x: 0.5 * x}
        alone = generate(bridge, one, max_new_tokens=6, edits=own)
        assert decode(bridge, alone)[0] == decode(bridge, steered)[row]
    assert torch.equal(free, generate(bridge, batch, max_new_tokens=6))


def test_an_edit_of_nothing_is_bit_exact_and_an_edit_that_fails_leaves_no_hook() -> None:
    bridge, batch = _batch()
    free = generate(bridge, batch, max_new_tokens=5)
    assert torch.equal(free, generate(bridge, batch, max_new_tokens=5, edits={3: lambda x: x + 0}))

    def fail(activation: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        generate(bridge, batch, max_new_tokens=5, edits={3: fail})
    assert torch.equal(free, generate(bridge, batch, max_new_tokens=5))
    with pytest.raises(ValueError, match="0 to 4"):
        generate(bridge, batch, max_new_tokens=5, edits={5: fail})


def test_an_edit_that_never_runs_is_an_error() -> None:
    twin: Any = twin_of(tiny("mistral").bridge)
    with pytest.raises(SilentBlockError, match="1"), blocks_edited(twin, {1: lambda x: x}):
        pass


def test_an_answer_may_end_with_a_token_of_its_own(pocket: Any) -> None:
    bridge, batch = _batch()
    first = generate(bridge, batch, max_new_tokens=6)
    end = int(first[0, 2])
    cut = generate(bridge, batch, max_new_tokens=6, ends=[end])
    assert cut[0, : list(first[0]).index(end) + 1].tolist()[-1] == end
    assert (cut[0, first[0].tolist().index(end) + 1 :] == bridge.tokenizer.pad_token_id).all()
    assert generate(bridge, batch, max_new_tokens=6, ends=()).shape[1] == 6
    assert stop_ids(pocket) == {pocket.tokenizer.eos_token_id}

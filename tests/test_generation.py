from typing import Any

import pytest
import torch
from tiny import tiny
from torch import Tensor

from tl_geometry.generation import decode, generate
from tl_geometry.tokens import encode, pad

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

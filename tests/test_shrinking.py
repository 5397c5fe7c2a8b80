"""Rows that have ended leave the batch, and nobody's answer is another for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tiny import FAMILIES, tiny
from torch import Tensor

from tl_geometry import shrinking
from tl_geometry.generation import generate
from tl_geometry.prompts import load_requests
from tl_geometry.tokens import TokenBatch, encode, encode_requests, pad
from tl_geometry.twins import decoder_blocks, twin_of

NEW = 12
TEXTS = [f"{'long ' * (i % 4)}prompt {chr(97 + i % 26)} of many {i}" for i in range(40)]


def many(bridge: Any) -> TokenBatch:
    return pad(bridge, encode(bridge, TEXTS))


def ends_of(bridge: Any, batch: TokenBatch, edits: Any = None) -> list[int]:
    """Ids at which about half of the rows end on the way."""
    new = generate(bridge, batch, max_new_tokens=NEW, edits=edits, ends=[])
    ids, often = new[:, 1:].unique(return_counts=True)
    return ids[often.argsort(descending=True)][: max(1, len(ids) // 4)].tolist()


def pushes(bridge: Any) -> dict[int, Any]:
    """Edits that know every row: a push of its own for each, and the norm of another kind."""
    drawn = torch.randn(40, 1, bridge.cfg.d_model, generator=torch.Generator().manual_seed(3))
    return {1: lambda x: x + drawn, 3: lambda x: x / x.norm(dim=-1, keepdim=True).clamp(min=1e-6)}


def whole(monkeypatch: pytest.MonkeyPatch, bridge: Any, batch: TokenBatch, **options: Any) -> Any:
    """By Hugging Face alone, all rows to the end."""
    with monkeypatch.context() as held:
        held.setattr("tl_geometry.generation.can_shrink", lambda *_: False)
        return generate(bridge, batch, **{"max_new_tokens": NEW, **options})


@contextmanager
def rows_of_the_last_block(bridge: Any) -> Iterator[list[int]]:
    seen: list[int] = []
    twin: Any = twin_of(bridge)
    handle = decoder_blocks(twin)[-1].register_forward_hook(lambda m, a, _: seen.append(len(a[0])))
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("steered", [False, True])
def test_every_row_says_what_it_says_without_leaving(
    monkeypatch: pytest.MonkeyPatch, family: str, steered: bool
) -> None:
    bridge = tiny(family).bridge
    batch, edits = many(bridge), pushes(bridge) if steered else None
    ends = ends_of(bridge, batch, edits)
    with monkeypatch.context() as held, rows_of_the_last_block(bridge) as seen:
        held.setattr(shrinking, "FEW", 2)
        new = generate(bridge, batch, max_new_tokens=NEW, edits=edits, ends=ends)
    assert torch.equal(new, whole(monkeypatch, bridge, batch, edits=edits, ends=ends))
    ended = torch.isin(new, torch.tensor(ends)).any(1).sum()
    assert ended > 10  # else this shows nothing
    assert seen[0] == 40 and seen == sorted(seen, reverse=True) and len(set(seen)) > 1


def test_all_rows_may_end_and_none_may(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = tiny("llama").bridge
    batch = many(bridge)
    first = generate(bridge, batch, max_new_tokens=NEW, ends=[])
    assert first.shape[1] == NEW
    everything = first.unique().tolist()
    assert generate(bridge, batch, max_new_tokens=NEW, ends=everything).shape[1] == 1
    nothing = [i for i in range(100) if i not in everything][:1]
    assert torch.equal(generate(bridge, batch, max_new_tokens=NEW, ends=nothing), first)


def test_an_edit_sees_each_row_at_its_own_place() -> None:
    batch = many(tiny("llama").bridge)
    present = shrinking.Present.all_of(batch)
    number = torch.arange(40.0)[:, None, None]

    def add_number(x: Tensor) -> Tensor:
        return x + number

    edit = present.narrowed({0: add_number})[0]
    assert torch.equal(edit(torch.zeros(40, 1, 2))[:, 0, 0], torch.arange(40.0))
    present.kept = torch.tensor([3, 17])
    assert edit(torch.zeros(2, 1, 2))[:, 0].tolist() == [[3, 3], [17, 17]]


def test_real_answers_end_at_many_times(monkeypatch: pytest.MonkeyPatch, pocket: Any) -> None:
    texts = [request.text for request in load_requests()[:60]]
    batch = pad(pocket, encode_requests(pocket, texts))
    rows = rows_of_the_last_block(pocket)
    with rows as seen:
        new = generate(pocket, batch, max_new_tokens=40)
    assert torch.equal(new, whole(monkeypatch, pocket, batch, max_new_tokens=40))
    assert seen == sorted(seen, reverse=True) and len(set(seen)) > 3
    assert sum(seen) < 0.8 * 60 * len(seen)

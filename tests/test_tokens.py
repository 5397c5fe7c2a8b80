from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny

from tl_geometry.tokens import encode, encode_chat, pad

ROWS = st.lists(st.lists(st.integers(3, 258), min_size=1, max_size=30), min_size=1, max_size=6)


@given(ROWS)
@settings(deadline=None, max_examples=50)
def test_padding_keeps_every_token_in_order_on_the_right(rows: list[list[int]]) -> None:
    batch = pad(tiny("mistral").bridge, rows)
    for row, ids, mask, positions in zip(
        rows, batch.ids, batch.mask, batch.position_ids, strict=True
    ):
        assert ids[mask.bool()].tolist() == row
        assert ids[-len(row) :].tolist() == row
        assert positions[mask.bool()].tolist() == list(range(len(row)))


def test_the_window_does_not_count_the_beginning_of_sequence() -> None:
    batch = pad(tiny("mistral").bridge, [[0, 5, 6, 7], [4, 5, 6, 7], [0, 5, 6]])
    assert batch.n_bos.tolist() == [1, 0, 1]
    assert batch.has_window(3).tolist() == [True, True, False]
    assert batch.has_window(4).tolist() == [False, True, False]


def test_rows_may_be_repeated_and_reordered() -> None:
    batch = pad(tiny("mistral").bridge, [[0, 5], [0, 6, 7]])
    twice = batch.rows(torch.tensor([1, 0, 1]))
    assert twice.lengths.tolist() == [3, 2, 3]
    assert twice.ids[0].tolist() == twice.ids[2].tolist() == [0, 6, 7]


@pytest.mark.parametrize("rows", [[], [[1, 2], []]])
def test_empty_rows_are_refused(rows: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        pad(tiny("mistral").bridge, rows)


def test_plain_text_gets_one_bos_and_the_tokenizer_s_own_ids() -> None:
    bridge = tiny("mistral").bridge
    (ids,) = encode(bridge, ["ab"])
    assert ids[0] == 0 and ids.count(0) == 1
    assert bridge.tokenizer.decode(ids[1:]) == "ab"
    assert encode(bridge, []) == []


def test_a_chat_gets_exactly_one_bos(pocket: Any) -> None:
    (ids,) = encode_chat(pocket, [[{"role": "user", "content": "hello there"}]])
    bos = pocket.tokenizer.bos_token_id
    assert ids[0] == bos and ids.count(bos) == 1


def test_a_tokenizer_without_a_template_is_named() -> None:
    with pytest.raises(ValueError, match="no chat template"):
        encode_chat(tiny("mistral").bridge, [[{"role": "user", "content": "hello"}]])

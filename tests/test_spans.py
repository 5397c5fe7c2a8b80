"""The position grammar: every reading, count and folder name by hand."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_geometry.spans import FRAMES, Span

BY_HAND = [
    # text, start, stop, folder, tokens of a prompt of 4 and a response of 6, new tokens
    ("response[:]", None, None, "response_all", [4, 5, 6, 7, 8, 9], None),
    ("response[:5]", None, 5, "response__5", [4, 5, 6, 7, 8], 5),
    ("response[-1]", -1, None, "response_-1", [9], None),
    ("response[0]", 0, 1, "response_0", [4], 1),
    ("response[3]", 3, 4, "response_3", [7], 4),
    ("response[-2]", -2, -1, "response_-2", [8], None),
    ("response[2:5]", 2, 5, "response_2_5", [6, 7, 8], 5),
    ("response[0:2]", 0, 2, "response_0_2", [4, 5], 2),
    ("response[4:]", 4, None, "response_4_", [8, 9], None),
    ("response[:-4]", None, -4, "response__-4", [4, 5], None),
    ("response[-3:2]", -3, 2, "response_-3_2", [], None),
    ("response[5:20]", 5, 20, "response_5_20", [9], 20),
    ("response[6]", 6, 7, "response_6", [], 7),
    ("prompt[-1]", -1, None, "prompt_-1", [3], 0),
    ("prompt[-3:]", -3, None, "prompt_-3_", [1, 2, 3], 0),
    ("prompt[:]", None, None, "prompt_all", [0, 1, 2, 3], 0),
    ("prompt[-9:2]", -9, 2, "prompt_-9_2", [0, 1], 0),
    ("prompt[3:9]", 3, 9, "prompt_3_9", [3], 0),
    ("all[:]", None, None, "all_all", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], None),
    ("all[3:5]", 3, 5, "all_3_5", [3, 4], None),
    ("all[-2:]", -2, None, "all_-2_", [8, 9], None),
]
WITH_ALL = pytest.mark.parametrize(("text", "start", "stop", "folder", "tokens", "new"), BY_HAND)


@WITH_ALL
def test_a_position_is_read_counted_and_named_as_by_hand(
    text: str, start: int | None, stop: int | None, folder: str, tokens: list[int], new: int | None
) -> None:
    span = Span.parse(text)
    assert (span.start, span.stop) == (start, stop)
    assert str(span) == text
    assert span.folder == folder
    assert Span.from_folder(folder) == span
    assert list(span.bounds(4, 10)) == tokens
    assert span.new_tokens == new


@pytest.mark.parametrize(
    ("text", "canonical"), [("response[3:4]", "response[3]"), ("all[-1:]", "all[-1]")]
)
def test_equal_spans_are_written_alike(text: str, canonical: str) -> None:
    assert str(Span.parse(text)) == canonical
    assert Span.parse(text) == Span.parse(canonical)


def test_folders_of_long_forms_are_read_too() -> None:
    assert Span.from_folder("response_-1_") == Span.parse("response[-1]")
    assert Span.from_folder("response_3_4") == Span.parse("response[3]")


@pytest.mark.parametrize("n_prompt", [0, 3])
def test_an_empty_response_has_an_empty_range_behind_the_prompt(n_prompt: int) -> None:
    for text in ("response[:]", "response[:5]", "response[-1]"):
        assert Span.parse(text).bounds(n_prompt, n_prompt) == range(n_prompt, n_prompt)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "response",
        "response[]",
        "response[::2]",
        "response[1:5:2]",
        "answer[:5]",
        "Response[:5]",
        "response[:5] ",
        "response[:5]\n",
        "response[ :5]",
        "response[1.5]",
        "response[-0]",
        "response[05]",
        "response[+1]",
        "response[٣]",
        "response[:5]x",
        "xresponse[:5]",
        "response[:5][0]",
    ],
)
def test_anything_else_is_no_position(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(text))} is no position: write "):
        Span.parse(text)


@pytest.mark.parametrize("written", ["5:5", "3:1", ":0", "-2:0", "-1:-1", "-2:-5", "0:0"])
def test_a_slice_that_never_holds_a_token_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=rf"response\[{written}\] never holds a token"):
        Span.parse(f"response[{written}]")


@pytest.mark.parametrize("written", [":-1", "5:-5", "-5:5", "-1:1", "2:-1"])
def test_a_slice_that_holds_a_token_in_some_frame_is_not(written: str) -> None:
    span = Span.parse(f"response[{written}]")
    assert any(span.bounds(0, n) for n in range(12))


def test_a_frame_that_does_not_exist_is_refused_in_python_too() -> None:
    with pytest.raises(ValueError, match="frame 'answer' does not exist: use prompt, response"):
        Span.__post_init__(_unchecked("answer"))


def _unchecked(frame: str) -> Span:
    span = object.__new__(Span)
    vars(span).update(frame=frame, start=None, stop=None)
    return span


@pytest.mark.parametrize(
    "name",
    ["", "response", "response_", "response__", "response___", "response_all_", "other_all"]
    + ["response_2_5_7", "response_x", "response[:5]", "response_all\n"],
)
def test_other_folder_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no folder of a position"):
        Span.from_folder(name)


@pytest.mark.parametrize(("n_prompt", "n_total"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(n_prompt: int, n_total: int) -> None:
    with pytest.raises(ValueError, match=f"n_prompt={n_prompt}, n_total={n_total}"):
        Span.parse("all[:]").bounds(n_prompt, n_total)


ENDS = st.none() | st.integers(-12, 12)


@given(st.sampled_from(FRAMES), ENDS, ENDS)
def test_text_and_folder_lead_back_and_only_empty_spans_are_refused(
    frame: str, start: int | None, stop: int | None
) -> None:
    # Python's own slices of real lists say whether there is a frame in which a token is left.
    if not any(list(range(n))[start:stop] for n in range(40)):
        with pytest.raises(ValueError, match="never holds a token"):
            Span(frame, start, stop)  # type: ignore[arg-type] # a str
        return
    span = Span(frame, start, stop)  # type: ignore[arg-type] # a str
    assert Span.parse(str(span)) == span
    assert Span.from_folder(span.folder) == span


@given(ENDS, ENDS, st.integers(0, 9), st.integers(0, 9))
def test_bounds_are_those_of_a_slice_of_the_frame_alone(
    start: int | None, stop: int | None, n_prompt: int, n_response: int
) -> None:
    tokens = list(range(n_prompt + n_response))
    frames = {"prompt": tokens[:n_prompt], "response": tokens[n_prompt:], "all": tokens}
    for frame, inside in frames.items():
        try:
            span = Span(frame, start, stop)  # type: ignore[arg-type] # a str
        except ValueError:
            continue
        assert list(span.bounds(n_prompt, n_prompt + n_response)) == inside[start:stop]


@given(ENDS, ENDS)
def test_so_many_new_tokens_fill_the_span_and_one_less_does_not(
    start: int | None, stop: int | None
) -> None:
    try:
        span = Span("response", start, stop)
    except ValueError:
        return
    if span.new_tokens is not None:
        full = span.bounds(3, 3 + span.new_tokens)
        assert full == span.bounds(3, 3 + span.new_tokens + 20)
        assert full != span.bounds(3, 3 + span.new_tokens - 1)

"""Means over spans of tokens, against plain Hugging Face on each text alone."""

from typing import Any

import pytest
import torch
from tiny import FAMILIES, tiny

from tl_geometry.span_means import Said, span_means
from tl_geometry.spans import Span

SPANS = [Span.parse(s) for s in ("response[:]", "response[:2]", "prompt[-1]", "all[1:3]")]
TEXTS = [
    Said([5, 9, 11], [20, 21, 22, 23]),
    Said([5, 30, 31, 32, 33, 34], [40]),
    Said([5, 50], [60, 61, 62, 63, 64, 65, 66]),
]


def by_hand(plain: Any, text: Said, span: Span) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        out = plain(torch.tensor([[*text.prompt, *text.response]]), output_hidden_states=True)
    inside = list(span.bounds(len(text.prompt), len(text)))
    # The last hidden state of Hugging Face is behind the final norm: left out.
    states = torch.stack([h[0, inside] for h in out.hidden_states[1:-1]])
    return states.mean(1), states.norm(dim=-1).mean(1)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_text_has_the_means_that_it_has_alone(family: str) -> None:
    found = span_means(tiny(family).bridge, TEXTS, SPANS, batch_size=2)
    for span in SPANS:
        for row, text in enumerate(TEXTS):
            mean, norm = by_hand(tiny(family).plain, text, span)
            torch.testing.assert_close(found[span].states[row, :-1], mean, atol=2e-4, rtol=1e-4)
            torch.testing.assert_close(found[span].norms[row, :-1], norm, atol=2e-4, rtol=1e-4)


def test_a_response_that_is_too_short_has_no_mean_and_moves_no_other() -> None:
    bridge = tiny("llama").bridge
    late = Span.parse("response[2:4]")
    found = span_means(bridge, TEXTS, [late])[late]
    assert found.empty == [1]
    alone = span_means(bridge, [TEXTS[0], TEXTS[2]], [late])[late]
    torch.testing.assert_close(found.states[[0, 2]], alone.states)


def test_no_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="each needs a token"):
        span_means(tiny("llama").bridge, [Said([], [])], SPANS)

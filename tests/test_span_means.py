"""Means over spans of tokens, against plain Hugging Face on each text alone."""

from typing import Any

import pytest
import torch
from tiny import FAMILIES, tiny

from tl_geometry.components import fused_layout, parts_of, plain_name
from tl_geometry.sites import write_inputs
from tl_geometry.span_means import Said, means_at, span_means
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


def entering(plain: Any, text: Said, span: Span) -> dict[str, torch.Tensor]:
    """What goes into o and down of layer 2, by Hugging Face's own modules, on this text alone."""
    model_type = plain.config.model_type
    layout = fused_layout(model_type, plain.config)
    found: dict[str, torch.Tensor] = {}
    handles = []
    for name, module in plain.named_modules():
        if not hasattr(module, "weight"):
            continue
        stored = plain_name(f"{name}.weight")
        for part in parts_of(stored, tuple(module.weight.shape), model_type, layout):
            if part.layer == 2 and part.component in ("o", "down"):

                def note(module: Any, args: Any, component: str = part.component) -> None:
                    found[component] = args[0].flatten(0, -2)  # OPT has no axis of texts here

                handles.append(module.register_forward_pre_hook(note))
    with torch.no_grad():
        plain(torch.tensor([[*text.prompt, *text.response]]))
    for handle in handles:
        handle.remove()
    inside = list(span.bounds(len(text.prompt), len(text)))
    return {component: x[inside].mean(0) for component, x in found.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_enters_the_writing_matrices_is_what_their_modules_are_given(family: str) -> None:
    bridge, span = tiny(family).bridge, Span("response", 0, 2)
    names = write_inputs(bridge, 2)
    assert set(names) == ({"o"} if family == "mixtral" else {"o", "down"})
    found = means_at(bridge, TEXTS, span, names, batch_size=2)
    alone = [entering(tiny(family).plain, text, span) for text in TEXTS]
    for component, mean in found.items():
        expected = torch.stack([one[component] for one in alone]).mean(0)
        torch.testing.assert_close(mean.float(), expected, atol=2e-4, rtol=1e-4)


def test_texts_without_a_token_of_the_span_are_in_no_mean() -> None:
    bridge, late = tiny("llama").bridge, Span.parse("response[2:4]")
    names = write_inputs(bridge, 1)
    some = means_at(bridge, TEXTS, late, names)
    torch.testing.assert_close(some, means_at(bridge, [TEXTS[0], TEXTS[2]], late, names))
    with pytest.raises(ValueError, match="none of 1 texts has a token"):
        means_at(bridge, TEXTS[1:2], late, names)


def test_no_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="each needs a token"):
        span_means(tiny("llama").bridge, [Said([], [])], SPANS)

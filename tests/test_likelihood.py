"""How likely a model finds an answer: against the plain model, token by token."""

import math

import pytest
import torch
from tiny import tiny

from tl_geometry.likelihood import answer_nll

PROMPTS = [[0, 40, 41], [0, 50], [0, 60, 61, 62, 63]]
ANSWERS = [[70, 71, 72, 73], [80], [90, 91]]


def by_hand(plain, prompt, answer) -> float:
    """One sequence alone, without padding."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.inference_mode():
        log_probs = plain(ids).logits[0].double().log_softmax(-1)
    first = len(prompt)
    found = [-float(log_probs[first + k - 1, token]) for k, token in enumerate(answer)]
    return math.fsum(found) / len(found)


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "gemma2"])
@pytest.mark.parametrize("size", [1, 2, 32])
def test_it_is_the_mean_over_the_answer_s_own_tokens(family: str, size: int) -> None:
    model = tiny(family)
    found = answer_nll(model.bridge, PROMPTS, ANSWERS, batch_size=size)
    wanted = [by_hand(model.plain, p, a) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    assert found == pytest.approx(wanted, abs=1e-4)


def test_what_the_model_would_say_is_likelier_than_anything_else() -> None:
    model = tiny("llama")
    with torch.inference_mode():
        best = int(model.plain(torch.tensor([PROMPTS[0]])).logits[0, -1].argmax())
    every = answer_nll(model.bridge, [PROMPTS[0]] * 300, [[token] for token in range(300)])
    assert min(range(300), key=every.__getitem__) == best
    assert math.fsum(math.exp(-value) for value in every) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("prompts", "answers"), [([[0]], []), ([[0]], [[]]), ([], [[1]])])
def test_an_answer_needs_a_prompt_and_a_token(prompts, answers) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        answer_nll(tiny("llama").bridge, prompts, answers)

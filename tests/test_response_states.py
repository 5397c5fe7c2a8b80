"""States of responses, against plain Hugging Face on each text alone."""

from typing import Any

import pytest
import torch
from tiny import tiny

from tl_geometry.response_states import covered, response_states, whole_states
from tl_geometry.span_means import Said

TEXTS = [
    Said([5, 9, 11], [20, 21, 22, 23]),
    Said([5, 30, 31, 32, 33, 34], [40]),
    Said([5, 50], [60, 61, 62, 63, 64, 65, 66]),
]
KEPT = [0, 3]


def by_hand(plain: Any, text: Said) -> torch.Tensor:
    """[layer, token, d] of the response, but for the last layer: there Hugging Face has the final
    norm behind it."""
    with torch.no_grad():
        out = plain(torch.tensor([[*text.prompt, *text.response]]), output_hidden_states=True)
    return torch.stack([h[0, len(text.prompt) :] for h in out.hidden_states[1:-1]])


@pytest.mark.parametrize("family", ["llama", "gemma2", "falcon"])
def test_every_response_has_the_states_that_it_has_alone(family: str) -> None:
    found = response_states(tiny(family).bridge, TEXTS, KEPT, 3)
    close: dict[str, Any] = {"atol": 2e-4, "rtol": 1e-4}
    for row, text in enumerate(TEXTS):
        states = by_hand(tiny(family).plain, text)
        torch.testing.assert_close(found.means[row, :-1], states.mean(1), **close)
        n = min(3, len(text.response))
        wanted = states[KEPT, :n].transpose(0, 1)
        torch.testing.assert_close(found.at[row, :n], wanted, **close)
        assert found.at[row, n:].isnan().all()


def test_whole_states_are_of_prompt_and_response() -> None:
    bridge = tiny("llama").bridge
    found = response_states(bridge, TEXTS[:1], KEPT, 3)
    whole = whole_states(bridge, TEXTS[0])
    assert whole.shape[:2] == (bridge.cfg.n_layers, 7)
    torch.testing.assert_close(whole[:, 3:].double().mean(1).float(), found.means[0])


def test_a_response_without_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="a token of one"):
        response_states(tiny("llama").bridge, [Said([5, 6], [])], KEPT, 3)


@pytest.mark.parametrize(
    ("lengths", "share", "n"),
    [
        ([5, 5, 5, 5, 2], 0.8, 5),  # four of five are 80 %
        ([5, 5, 5, 2, 2], 0.8, 2),  # three are not
        ([9, 1], 1.0, 1),
        ([9, 1], 0.5, 9),
        ([3] * 60, 0.8, 3),
    ],
)
def test_positions_end_where_too_few_responses_reach(
    lengths: list[int], share: float, n: int
) -> None:
    assert covered(lengths, share) == n
    reach = sum(length >= n for length in lengths) / len(lengths)
    further = sum(length >= n + 1 for length in lengths) / len(lengths)
    assert reach >= share > further

"""How a tokenizer spells the numbers 0 to 100 where a chat model would say them, and what they
weigh.

Where every number is one token, its probability is that token's. Elsewhere numbers are spelled
("8", "5"), and the first token alone would pass 85 off as 8. There a number has the probability of
its spelling, token by token, and 0 to 10 that of ending there as well, because a further digit
would make another number of them; the rest of the two-digit numbers and 100 are taken as final:

    p(85) = p("8") p("5" | "8"),   p(8) = p("8") p(stop | "8")

Digit by digit, that asks for the next token after 12 beginnings: nothing, "0" to "9", and "10".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os.path import commonprefix
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry.generation import stop_ids
from tl_geometry.models import Model
from tl_geometry.tokens import Ids, templated

NUMBERS = range(101)
AMBIGUOUS = range(11)
"""A further digit would make another number of 0 to 100 out of these ("07" counts as one)."""
_ASKED = ({"role": "user", "content": "Name a number."},)
_PLACE = "@@"

Beginning = tuple[int, ...]
"""The first tokens of a number, from none to all."""


@dataclass(frozen=True)
class NumberTokens:
    """The spelling of 0 to 100 behind a chat template."""

    lead: Beginning
    """What stands before every number (a space); belongs to the prompt."""
    spelled: tuple[Beginning, ...]
    """Ids of each number, without the lead."""
    stops: tuple[int, ...]
    """Ids that end a number: end of sequence or of turn, or a new line."""

    @property
    def whole(self) -> bool:
        """Whether every number is one token."""
        return all(len(ids) == 1 for ids in self.spelled)

    @cached_property
    def beginnings(self) -> tuple[Beginning, ...]:
        """Behind what the next token has to be known; nothing comes first."""
        if self.whole:
            return ((),)
        inner = {ids[:k] for ids in self.spelled for k in range(len(ids))}
        ends = {self.spelled[n] for n in AMBIGUOUS}
        return tuple(sorted(inner | ends, key=lambda ids: (len(ids), ids)))

    @cached_property
    def paths(self) -> tuple[Beginning, ...]:
        """The beginnings that no other one goes on from: read, they show all of them."""
        every = self.beginnings
        return tuple(b for b in every if b and not any(_goes_on(other, b) for other in every))

    def probabilities(
        self, log_probs: Float[Tensor, "batch beginning vocab"]
    ) -> Float[Tensor, "batch 101"]:
        """p(n) from the log-probabilities of the next token behind each of `beginnings`."""
        at = {ids: k for k, ids in enumerate(self.beginnings)}
        columns = []
        for n, ids in enumerate(self.spelled):
            steps = [log_probs[:, at[ids[:k]], token] for k, token in enumerate(ids)]
            if not self.whole and n in AMBIGUOUS:
                steps.append(log_probs[:, at[ids], list(self.stops)].logsumexp(-1))
            columns.append(torch.stack(steps).sum(0))
        return torch.stack(columns, -1).exp()


def _goes_on(longer: Beginning, shorter: Beginning) -> bool:
    return len(longer) > len(shorter) and longer[: len(shorter)] == shorter


def number_tokens(model: Model) -> NumberTokens:
    """Ask the model's tokenizer, at the place where the answer begins in its chat template.

    ValueError if there is no chat template, if the template's end and the number run into one
    token, or if two numbers are spelled alike.
    """
    tokenizer = model.tokenizer
    prompt = templated(tokenizer, _ASKED)
    before, after = _around(tokenizer, prompt)
    start = _encoded(tokenizer, [prompt])[0]
    tails = _tails(start, _encoded(tokenizer, [f"{prompt}{before}{n}" for n in NUMBERS]))
    lead = tuple(commonprefix(tails))
    spelled = tuple(tuple(ids[len(lead) :]) for ids in tails)
    if not all(spelled) or len(set(spelled)) < len(spelled):
        raise ValueError("this tokenizer does not tell the numbers 0 to 100 apart")
    ends = _encoded(tokenizer, [f"{prompt}{before}5{end}" for end in (after, "\n", "\n\n") if end])
    behind = {ids[len(start) + len(tails[5])] for ids in ends if len(ids) > len(start + tails[5])}
    return NumberTokens(lead, spelled, tuple(sorted(behind | stop_ids(model))))


def _around(tokenizer: Any, prompt: str) -> tuple[str, str]:
    """What the template itself writes before an assistant's words, and after them."""
    turns: Sequence[Mapping[str, str]] = (*_ASKED, {"role": "assistant", "content": _PLACE})
    said = templated(tokenizer, turns, ready=False)
    if not said.startswith(prompt) or _PLACE not in said:
        return "", ""
    before, _, after = said.removeprefix(prompt).partition(_PLACE)
    return before, after


def _encoded(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    return [list(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]


def _tails(start: Ids, rows: Iterable[Sequence[int]]) -> list[list[int]]:
    """The rows behind the prompt that they all begin with."""
    rows = list(rows)
    if any(list(row[: len(start)]) != list(start) for row in rows):
        raise ValueError(
            "the end of the chat template and a number run into one token: the probability of a "
            "number is not defined behind this template; use another judge model"
        )
    return [list(row[len(start) :]) for row in rows]

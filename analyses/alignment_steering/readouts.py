"""What a steered model says, prefers, and finds likely."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.alignment_steering.texts import Text
from analyses.work import halved
from tl_geometry import sites
from tl_geometry.capture import continuation_log_prob, observed, run_until, tail_logits
from tl_geometry.conditions import to_their_ends
from tl_geometry.generation import decode, generate
from tl_geometry.layered_steering import LayeredSteering
from tl_geometry.likelihood import answer_nll
from tl_geometry.models import Model
from tl_geometry.tokens import Ids, TokenBatch, pad

T = TypeVar("T")
ROWS = 192
"""Rows a pass; halved when memory runs out."""


@dataclass(frozen=True)
class Asked:
    """What every condition is asked."""

    requests: Sequence[Ids]
    new_tokens: int
    preference: Sequence[Text]
    neutral: Sequence[Ids]
    read_at: Sequence[int] = ()
    """Blocks at whose outputs the last token of every request is read."""


@dataclass(frozen=True)
class Seen:
    """What was read of one condition, in the order of what it was asked."""

    ids: list[list[int]]
    answers: list[str]
    nll: list[float]
    """Of the answers, under the unsteered model."""
    chosen: list[float]
    """Mean log-probability a token."""
    rejected: list[float]
    neutral: list[float]
    """Negative log-likelihood a token, all but the first."""
    states: Mapping[int, Float[np.ndarray, "request d"]]
    """Layer → states of the requests' last tokens."""

    @property
    def margins(self) -> list[float]:
        """The preference for the chosen answer, nats a token."""
        return [a - b for a, b in zip(self.chosen, self.rejected, strict=True)]


class Steered:
    """A model that is asked under several conditions side by side: a row is one condition and one
    prompt, with vectors of its own."""

    def __init__(self, model: Model, rows: int | None = None) -> None:
        self.model, self.rows = model, rows or ROWS

    def see(self, pushes: LayeredSteering, asked: Asked) -> list[Seen]:
        """Every condition of the pushes, in their order."""
        said = self.answers(pushes, asked.requests, asked.new_tokens)
        sides = [(t.prompt, answer) for t in asked.preference for answer in (t.chosen, t.rejected)]
        preference = self.log_probs(pushes, sides)
        neutral = self.log_probs(pushes, [(ids[:1], ids[1:]) for ids in asked.neutral])
        states = self.states(pushes, asked.requests, asked.read_at)
        return [
            Seen(
                ids=said[k],
                # The decoding of nothing is one empty text.
                answers=decode(self.model, said[k]) if said[k] else [],
                nll=self.nll(asked.requests, said[k]),
                chosen=preference[k][::2],
                rejected=preference[k][1::2],
                neutral=[-value for value in neutral[k]],
                states={layer: found[k] for layer, found in states.items()},
            )
            for k in range(len(pushes))
        ]

    def answers(
        self, pushes: LayeredSteering, prompts: Sequence[Ids], new_tokens: int
    ) -> list[list[list[int]]]:
        """Condition → prompt → new ids, greedy."""

        def act(size: int) -> list[list[list[int]]]:
            said = [[list[int]() for _ in prompts] for _ in pushes.vectors]
            for which, how, batch in self._passes(prompts, len(pushes), size):
                edits = pushes.rows(how).edits(batch)
                new = generate(self.model, batch, max_new_tokens=new_tokens, edits=edits)
                for ids, i, k in zip(to_their_ends(self.model, new), which, how, strict=True):
                    said[k][i] = ids
            return said

        return self._fitting(act)

    def log_probs(
        self, pushes: LayeredSteering, items: Sequence[tuple[Ids, Ids]]
    ) -> list[list[float]]:
        """Condition → mean log-probability a token of each continuation behind its prompt."""
        texts = [[*prompt, *answer] for prompt, answer in items]
        lengths = [len(answer) for _, answer in items]

        @torch.inference_mode()
        def act(size: int) -> list[list[float]]:
            found = [[0.0] * len(items) for _ in pushes.vectors]
            for which, how, batch in self._passes(texts, len(pushes), size):
                with pushes.rows(how).held(self.model, batch):
                    logits = tail_logits(self.model, batch, max(lengths[i] for i in which) + 1)
                values = continuation_log_prob(logits, batch.ids)
                for row, i, k in zip(values, which, how, strict=True):
                    found[k][i] = float(row[-lengths[i] :].mean())
            return found

        return self._fitting(act)

    def states(
        self, pushes: LayeredSteering, prompts: Sequence[Ids], layers: Sequence[int]
    ) -> dict[int, Float[np.ndarray, "condition request d"]]:
        """Layer → block outputs at the prompts' last tokens, under every condition; nothing runs
        where no layer is named."""
        if not layers:
            return {}

        @torch.inference_mode()
        def act(size: int) -> dict[int, Float[np.ndarray, "condition request d"]]:
            shape = (len(pushes), len(prompts), self.model.cfg.d_model)
            found = {layer: np.empty(shape, np.float32) for layer in layers}
            for which, how, batch in self._passes(prompts, len(pushes), size):

                def kept(layer: int, at: tuple[list[int], list[int]]) -> Callable[[Tensor], None]:
                    def read(x: Tensor) -> None:
                        found[layer][at] = x[:, -1].float().cpu().numpy()  # padding is on the left

                    return read

                readers = {sites.resid_post(k): kept(k, (how, which)) for k in layers}
                pushed = pushes.rows(how).held(self.model, batch)
                with pushed, observed(self.model, readers):
                    run_until(self.model, batch, self.model.cfg.n_layers)
            return found

        return self._fitting(act)

    def nll(self, prompts: Sequence[Ids], answers: Sequence[Ids]) -> list[float]:
        """Of each answer under the model without any vector, nats a token."""
        return self._fitting(lambda n: answer_nll(self.model, prompts, answers, batch_size=n))

    def _fitting(self, act: Callable[[int], T]) -> T:
        """The act with as many rows a pass as fit; how many is remembered for the next one."""

        def attempt(size: int) -> T:
            self.rows = size
            return act(size)

        return halved(attempt, self.rows)

    def _passes(
        self, prompts: Sequence[Ids], n_conditions: int, size: int
    ) -> Iterator[tuple[list[int], list[int], TokenBatch]]:
        """Rows of every prompt under every condition, of similar length in a pass."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        rows = [(i, k) for i in order for k in range(n_conditions)]
        for start in range(0, len(rows), size):
            which, how = (list(column) for column in zip(*rows[start : start + size], strict=True))
            yield which, how, pad(self.model, [prompts[i] for i in which])

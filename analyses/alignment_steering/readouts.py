"""What a steered model says, prefers, and finds likely."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from analyses.alignment_steering.conditions import Dose, steering
from tl_geometry.capture import continuation_log_prob, tail_logits
from tl_geometry.conditions import to_their_ends
from tl_geometry.generation import generate
from tl_geometry.layered_steering import LayeredSteering
from tl_geometry.models import Model
from tl_geometry.tokens import Ids, pad

ROWS = 192
"""Rows a pass."""


class Steered:
    """A model with vectors to add; every question is asked under several doses at once."""

    def __init__(
        self,
        model: Model,
        vectors: dict[str, Float[Tensor, "some d"]],
        layers: tuple[int, ...],
        *,
        keep_norm: bool,
        rows: int = ROWS,
    ) -> None:
        self.model, self.vectors, self.layers = model, vectors, layers
        self.keep_norm, self.size = keep_norm, rows

    def answers(
        self, doses: Sequence[Dose], prompts: Sequence[Ids], new_tokens: int
    ) -> list[list[list[int]]]:
        """Dose → prompt → new ids, greedy."""
        said: list[list[int]] = [[] for _ in range(len(doses) * len(prompts))]
        for index, rows, how in self._passes(doses, prompts):
            batch = pad(self.model, rows)
            edits = how.edits(batch)
            new = generate(self.model, batch, max_new_tokens=new_tokens, edits=edits)
            for i, ids in zip(index, to_their_ends(self.model, new), strict=True):
                said[i] = ids
        n = len(prompts)
        return [said[k * n : (k + 1) * n] for k in range(len(doses))]

    @torch.inference_mode()
    def log_probs(
        self, doses: Sequence[Dose], prompts: Sequence[Ids], answers: Sequence[Ids]
    ) -> list[list[float]]:
        """Dose → text → mean log-probability of its answer's tokens, nats."""
        texts = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        found = [0.0] * (len(doses) * len(texts))
        for index, rows, how in self._passes(doses, texts):
            batch = pad(self.model, rows)
            lengths = [len(answers[i % len(texts)]) for i in index]
            with how.held(self.model, batch):
                logits = tail_logits(self.model, batch, max(lengths) + 1)
            values = continuation_log_prob(logits, batch.ids)
            for i, length, row in zip(index, lengths, values, strict=True):
                found[i] = float(row[-length:].mean())
        n = len(texts)
        return [found[k * n : (k + 1) * n] for k in range(len(doses))]

    def _passes(
        self, doses: Sequence[Dose], texts: Sequence[Ids]
    ) -> list[tuple[list[int], list[list[int]], LayeredSteering]]:
        """Rows of similar length together."""
        every = steering(self.vectors, doses, len(texts), self.layers, keep_norm=self.keep_norm)
        order = sorted(range(len(every)), key=lambda i: len(texts[i % len(texts)]))
        cut = [order[i : i + self.size] for i in range(0, len(order), self.size)]
        return [(c, [list(texts[i % len(texts)]) for i in c], every.rows(c)) for c in cut]

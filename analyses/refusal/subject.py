"""A loaded model with its prompts as token ids, its class means and the candidates' scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from analyses.refusal.config import Families
from analyses.refusal.plan import Prompts
from tl_geometry.candidates import Kind, Scorer, evaluation_layers
from tl_geometry.capture import last_logits
from tl_geometry.directions import ClassMeans, class_means
from tl_geometry.models import Model
from tl_geometry.prompts import Request
from tl_geometry.tokens import Ids, batches, encode, encode_requests, n_post_instruction

OPENS = 4.0
"""A token opens refusals if it is this many times likelier after harmful requests …"""
LIKELY = 0.02
"""… and has this much more probability there."""


@dataclass(eq=False)
class Subject:
    """One model under study; what is asked of it is computed once."""

    model: Model
    config: Families
    prompts: Prompts
    _scorers: dict[tuple[str, Kind], Scorer] = field(default_factory=dict, init=False)

    def ids(self, requests: Sequence[Request]) -> list[list[int]]:
        """Each request as a chat turn (as plain text for a model without a chat template)."""
        return encode_requests(self.model, [request.text for request in requests])

    @cached_property
    def neutral(self) -> tuple[list[list[int]], list[list[int]]]:
        """Plain texts: those to choose by, and those to report."""
        ids = encode(self.model, [text.text for text in self.prompts.neutral])
        return ids[::2], ids[1::2]

    @property
    def n_positions(self) -> int:
        return min(self.config.positions, n_post_instruction(self.model))

    @cached_property
    def means(self) -> dict[str, ClassMeans]:
        """By method. `shuffled` is DIM with labels that mean nothing."""
        dim = self._means(*map(self.ids, self.prompts.dim))
        mixed = [ids for side in self.prompts.dim for ids in self.ids(side)]
        order = torch.randperm(len(mixed), generator=self.generator(0)).tolist()
        half = len(mixed) // 2
        shuffled = ([mixed[i] for i in order[:half]], [mixed[i] for i in order[half:]])
        return {
            "dim": dim,
            "cosmic": self._means(*map(self.ids, self.prompts.cosmic)),
            "shuffled": self._means(*shuffled),
        }

    def _means(self, harmful: Sequence[Ids], harmless: Sequence[Ids]) -> ClassMeans:
        return class_means(self.model, harmful, harmless, n_positions=self.n_positions)

    def generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(1_000 * self.config.seed + stream)

    def scorer(self, method: str, kind: Kind = "linear") -> Scorer:
        """One a method and kind: its baselines and prefixes serve scoring and choosing."""
        if (method, kind) not in self._scorers:
            self._scorers[method, kind] = self._scorer(method, kind)
        return self._scorers[method, kind]

    def _scorer(self, method: str, kind: Kind) -> Scorer:
        means = self.means[method]
        harmful, harmless = map(self.ids, self.prompts.selection)
        low = evaluation_layers(means.positive[1:, -1], means.negative[1:, -1])
        size = self.config.batch_size or 320
        return Scorer(self.model, means, harmful, harmless, low, kind, self.openers, size)

    @cached_property
    def openers(self) -> tuple[int, ...]:
        """Tokens that open this model's refusals, found on training prompts: the papers list them
        by hand for each family. Empty where there is none."""
        harmful, harmless = (self._next(side) for side in self.prompts.dim)
        found = (harmful > OPENS * harmless) & (harmful - harmless > LIKELY)
        return tuple(found.nonzero().flatten().tolist())

    def _next(self, requests: Sequence[Request]) -> torch.Tensor:
        """Mean next-token distribution."""
        some = batches(self.model, self.ids(requests), 64)
        return torch.cat([last_logits(self.model, b).softmax(-1) for b in some]).mean(0)

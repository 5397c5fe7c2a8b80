"""A loaded model with its prompts as token ids, its class means and the candidates' scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from analyses.refusal.config import Steered
from analyses.refusal.openings import Opening, opening
from analyses.refusal.plan import Prompts
from tl_geometry.candidates import Kind, Scorer, evaluation_layers
from tl_geometry.conditions import Condition, answers
from tl_geometry.directions import ClassMeans, class_means
from tl_geometry.judges import Band, nll_band
from tl_geometry.likelihood import answer_nll
from tl_geometry.models import Model
from tl_geometry.prompts import Request
from tl_geometry.tokens import Ids, encode, encode_requests, n_post_instruction

ROWS = 320
"""Rows a pass."""
FEWEST = 8
"""Answers that a band of likelihoods needs."""


@dataclass(eq=False)
class Subject:
    """One model under study; what is asked of it is computed once."""

    model: Model
    config: Steered
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

    @cached_property
    def band(self) -> Band | None:
        """The likelihood of this model's own answers, to both classes of validation requests: what
        lies far outside is no language of its own, whatever it begins with. None where there are
        fewer than eight to go by."""
        found: list[float] = []
        for requests in self.prompts.search:
            ids = self.ids(requests)
            tokens = self.config.search_tokens
            (said,) = answers(self.model, ids, [Condition()], max_new_tokens=tokens)
            found += answer_nll(self.model, ids, said)
        return nll_band(found) if len(found) >= FEWEST else None

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
        """DIM's rule looks at the token where refusals and answers part. COSMIC looks at no token,
        and needs none."""
        means, opening = self.means[method], self.opening
        harmful, harmless = map(self.ids, self.prompts.selection)
        tokens: tuple[int, ...] = ()
        if method != "cosmic":
            harmful, harmless = opening.after(harmful), opening.after(harmless)
            tokens = opening.refusal
        low = evaluation_layers(*means.outputs)
        size = self.config.batch_size or ROWS
        return Scorer(self.model, means, harmful, harmless, low, kind, tokens, size)

    @cached_property
    def opening(self) -> Opening:
        """How refusals begin, from the training prompts of DIM."""
        return opening(self.model, *map(self.ids, self.prompts.dim))

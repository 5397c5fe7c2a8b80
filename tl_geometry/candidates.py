"""Scoring candidate directions under intervention, all positions of a layer in one pass.

What is scored: for a candidate r of layer l and post-instruction position i,

* harmful prompts with r removed: do they look harmless (COSMIC), is a refusal unlikely (bypass)?
* harmless prompts with r added at the input of block l: the other way round.

COSMIC: Siu et al. 2025 (arXiv 2506.00085); refusal logit: Arditi et al. 2024 (arXiv 2406.11717).
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import lean, observed
from tl_geometry.directions import ClassMeans
from tl_geometry.interventions import edited
from tl_geometry.models import Model
from tl_geometry.prefixes import Prefixes, output_at
from tl_geometry.resume import resumed
from tl_geometry.steering import ablated, affine, on_real_tokens
from tl_geometry.tokens import Ids, TokenBatch

Kind = Literal["linear", "affine"]
LOW_SHARE = 0.1
"""Share of the layers on which COSMIC looks: those at which the classes are most unlike."""
EPSILON = 1e-8


def evaluation_layers(
    positive: Float[Tensor, "layer d"], negative: Float[Tensor, "layer d"]
) -> tuple[int, ...]:
    """COSMIC's L_low: the int(0.1 · L) block outputs (at least 1) of least cosine, least first.

    Ties go to the lower layer.
    """
    cosines = torch.cosine_similarity(positive, negative, dim=-1)
    keep = max(1, int(LOW_SHARE * len(cosines)))
    return tuple(torch.sort(cosines, stable=True).indices[:keep].tolist())


@dataclass(frozen=True)
class Edit:
    """What is done to the rows of a pass: a candidate each."""

    vectors: Float[Tensor, "row d"]
    references: Float[Tensor, "row d"]
    layer: int
    adds: bool
    """Or removes."""
    kind: Kind

    @property
    def local(self) -> bool:
        """Whether only the input of one block is edited: all before it stays as it was."""
        return self.adds or self.kind == "affine"

    @contextmanager
    def held(self, model: Model, rows: TokenBatch) -> Iterator[None]:
        if not self.local:
            with ablated(model, self.vectors / self.vectors.norm(dim=-1, keepdim=True), rows.mask):
                yield
            return
        act = partial(_plus, self.vectors)
        if self.kind == "affine":
            amount = torch.full((len(self.vectors),), float(self.adds))
            act = affine(self.vectors, self.references, amount)
        with edited(model, {sites.resid_pre(self.layer): on_real_tokens(act, rows.mask)}):
            yield


def _plus(
    vectors: Float[Tensor, "row d"], x: Float[Tensor, "row pos d"]
) -> Float[Tensor, "row pos d"]:
    return x + vectors.to(x)[:, None]


@dataclass(frozen=True, eq=False)
class Looks:
    """What passes show of each group of rows: one candidate's prompts."""

    mean: Float[Tensor, "group d"]
    """Last-token activation, averaged over prompts *and* evaluation layers into one vector, as the
    reference code does: the layer with the largest norm dominates."""
    refusal: Float[Tensor, " group"]
    """Mean log-odds of a refusal token; NaN without refusal tokens."""
    logits: Float[Tensor, "row vocab"]


@dataclass(eq=False)
class Scorer:
    """Scores the candidates of one layer at a time; what they share is computed once."""

    model: Model
    means: ClassMeans
    harmful: Sequence[Ids]
    """Validation prompts: nothing that is scored here may be reported as a result."""
    harmless: Sequence[Ids]
    low: tuple[int, ...]
    kind: Kind = "linear"
    refusal_ids: Collection[int] = ()
    """Tokens that open a refusal; without any, the refusal logit is not measured."""
    batch_size: int = 256
    """Rows a pass: candidates times prompts."""

    @cached_property
    def prefixes(self) -> dict[bool, Prefixes]:
        size = max(1, self.batch_size // self.means.n_positions)
        sides = {True: self.harmful, False: self.harmless}
        return {harmful: Prefixes(self.model, given, size) for harmful, given in sides.items()}

    def scores(self, layer: int) -> dict[str, list[float]]:
        """`comply`, `refuse` (cosines), `bypass`, `induce` (log-odds), one number a position."""
        removed, added = self.looks(True, layer, adds=False), self.looks(False, layer, adds=True)
        found = {
            "comply": torch.cosine_similarity(removed.mean, self.baselines[False].mean),
            "refuse": torch.cosine_similarity(added.mean, self.baselines[True].mean),
            "bypass": removed.refusal,
            "induce": added.refusal,
        }
        return {name: values.tolist() for name, values in found.items()}

    @cached_property
    def baselines(self) -> dict[bool, Looks]:
        """What untouched passes show of harmful and of harmless prompts."""
        return {side: self._looks(side, None, ()) for side in (True, False)}

    def looks(
        self, harmful: bool, layer: int, *, adds: bool, positions: Sequence[int] | None = None
    ) -> Looks:
        """Prompts under the candidates of a layer: of all positions, or of the named ones."""
        which = list(self.means.positions) if positions is None else list(positions)
        return self._looks(harmful, (layer, adds), which)

    def kl(self, layer: int, position: int) -> float:
        """Mean KL(untouched ‖ without the direction) of the next token on harmless prompts, nats.

        float64, with 1e-6 inside the logarithms, as in both papers' code.
        """
        without = self.looks(False, layer, adds=False, positions=[position]).logits
        p, q = (x.double().softmax(-1) for x in (self.baselines[False].logits, without))
        return float((p * ((p + 1e-6).log() - (q + 1e-6).log())).sum(-1).mean())

    @torch.inference_mode()
    def _looks(self, harmful: bool, edit: tuple[int, bool] | None, which: Sequence[int]) -> Looks:
        groups, prefixes = max(1, len(which)), self.prefixes[harmful]
        means, refusals, logits = [], [], []
        for k, batch in enumerate(prefixes.batches):
            index = torch.arange(len(batch), device=batch.ids.device).repeat(groups)
            made = None if edit is None else self._edit(*edit, which, len(batch))
            mean, last = self._pass(prefixes, k, batch.rows(index), index, made)
            means.append(mean.double().view(groups, len(batch), -1))
            refusals.append(self._log_odds(last).view(groups, -1))
            logits.append(last)
        mean = torch.cat(means, 1).mean(1).float()
        return Looks(mean, torch.cat(refusals, 1).mean(1), torch.cat(logits))

    def _edit(self, layer: int, adds: bool, which: Sequence[int], n: int) -> Edit:
        """A candidate's prompts side by side, one candidate after the other."""
        both = (self.means.difference[layer], self.means.negative[layer])
        vectors, references = (x[list(which)].float().repeat_interleave(n, 0) for x in both)
        return Edit(vectors, references, layer, adds, self.kind)

    def _pass(
        self, prefixes: Prefixes, k: int, rows: TokenBatch, index: Tensor, edit: Edit | None
    ) -> tuple[Float[Tensor, "row d"], Float[Tensor, "row vocab"]]:
        """(last-token activation, mean over the evaluation layers; next-token logits)."""
        first = self._first(edit)
        seen: dict[int, Tensor] = {}
        readers = {
            output_at(self.model, n): lambda x, n=n: seen.update({n: x[:, -1].clone()})
            for n in self.low
            if n >= first
        }
        with ExitStack() as stack:
            if first:
                resid = prefixes.streams(first)[k].index_select(0, index)
                stack.enter_context(resumed(self.model, first, resid))
            if edit is not None:
                stack.enter_context(edit.held(self.model, rows))
            stack.enter_context(observed(self.model, readers))
            logits = self.model(rows.ids, attention_mask=rows.mask, **lean(self.model))[:, -1]
        for n in self.low:  # blocks before the edit have not changed
            if n < first:
                seen[n] = prefixes.outputs[k][n].index_select(0, index)
        return torch.stack([seen[n] for n in self.low]).mean(0), logits

    def _first(self, edit: Edit | None) -> int:
        """The first block that has to run: those before a local edit are as they were."""
        return edit.layer if edit is not None and edit.local else 0

    def _log_odds(self, logits: Float[Tensor, "row vocab"]) -> Float[Tensor, " row"]:
        if not self.refusal_ids:
            return torch.full((len(logits),), float("nan"), dtype=torch.float64)
        p = logits.double().softmax(-1)[:, sorted(self.refusal_ids)].sum(-1)
        return (p + EPSILON).log() - (1 - p + EPSILON).log()

"""Scoring candidate directions under intervention, all positions of a layer in one pass.

What is scored: for a candidate r of layer l and post-instruction position i,

* harmful prompts with r removed: do they look harmless (COSMIC), is a refusal unlikely (bypass)?
* harmless prompts with r added at the input of block l: the other way round.

COSMIC: Siu et al. 2025 (arXiv 2506.00085); refusal logit: Arditi et al. 2024 (arXiv 2406.11717).
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry.capture import observed, run_until
from tl_geometry.directions import ClassMeans
from tl_geometry.edits import Edit, Kind
from tl_geometry.models import Model
from tl_geometry.prefixes import Prefixes, last_token_readers
from tl_geometry.resume import resumed
from tl_geometry.tokens import Ids, TokenBatch

LOW_SHARE = 0.1
"""Share of the layers on which COSMIC looks: those at which the classes are most unlike."""
EPSILON = 1e-8


def evaluation_layers(
    positive: Float[Tensor, "layer d"], negative: Float[Tensor, "layer d"]
) -> tuple[int, ...]:
    """COSMIC's L_low: the int(0.1 · L) block outputs (at least 1) of least cosine, least first.

    Of the means that `ClassMeans.outputs` gives. Ties go to the lower layer.
    """
    cosines = torch.cosine_similarity(positive, negative, dim=-1)
    keep = max(1, int(LOW_SHARE * len(cosines)))
    return tuple(torch.sort(cosines, stable=True).indices[:keep].tolist())


@dataclass(frozen=True, eq=False)
class Looks:
    """What passes show of each group of rows: one candidate's prompts."""

    mean: Float[Tensor, "group d"]
    """Last-token activation, averaged over prompts *and* evaluation layers into one vector, as the
    reference code does: the layer with the largest norm dominates."""
    refusal: Float[Tensor, " group"]
    """Mean log-odds of a refusal token; NaN without refusal tokens."""


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
    """Tokens that open a refusal. Without any, `bypass` and `induce` are NaN, and no block behind
    the last evaluation layer runs: COSMIC needs nothing more, Arditi's rule does."""
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
        return {side: self._untouched(side) for side in (True, False)}

    def _untouched(self, harmful: bool) -> Looks:
        seen = self.prefixes[harmful].untouched
        mean = torch.cat([self._over_layers(one.outputs) for one in seen])
        refusal = self._log_odds(torch.cat([one.logits for one in seen]))
        return Looks(mean.double().mean(0, keepdim=True).float(), refusal.mean(0, keepdim=True))

    @torch.inference_mode()
    def looks(self, harmful: bool, layer: int, *, adds: bool) -> Looks:
        """Prompts under the candidates of a layer, position by position."""
        looks = self._nowhere(harmful, adds)
        if which := [p for p in self.means.positions if self._points(layer, p)]:
            passes = self._passes(harmful, layer, adds, which, self._stop)
            means = [mean.double().unflatten(0, (len(which), -1)) for mean, _ in passes]
            looks.mean[which] = torch.cat(means, 1).mean(1).float()
            if self.refusal_ids:
                odds = [self._log_odds(last).unflatten(0, (len(which), -1)) for _, last in passes]
                looks.refusal[which] = torch.cat(odds, 1).mean(1)
        return looks

    def kl(self, layer: int, position: int) -> float:
        """Mean KL(untouched ‖ without the direction) of the next token on harmless prompts, nats.

        float64, with 1e-6 inside the logarithms, as in both papers' code.
        """
        if not self._points(layer, position):
            return float("nan")
        passes = self._passes(False, layer, False, [position], self.model.cfg.n_layers)
        as_it_is = torch.cat([one.logits for one in self.prefixes[False].untouched])
        without = torch.cat([last for _, last in passes])
        p, q = (x.double().softmax(-1) for x in (as_it_is, without))
        return float((p * ((p + 1e-6).log() - (q + 1e-6).log())).sum(-1).mean())

    def _points(self, layer: int, position: int) -> bool:
        """A difference of exactly zero points nowhere: behind the user's words all prompts enter
        block 0 alike, wherever embeddings hold no positions."""
        return bool(self.means.difference[layer, position].any())

    def _nowhere(self, harmful: bool, adds: bool) -> Looks:
        """What candidates that point nowhere show, without a pass: adding zero changes nothing,
        everything else divides by its length."""
        base, n = self.baselines[harmful], self.means.n_positions
        mean, refusal = base.mean.repeat(n, 1), base.refusal.repeat(n)
        if adds and self.kind == "linear":
            return Looks(mean, refusal)
        return Looks(torch.full_like(mean, torch.nan), torch.full_like(refusal, torch.nan))

    @property
    def _stop(self) -> int:
        """The first block that need not run: behind the evaluation layers only logits are left."""
        return self.model.cfg.n_layers if self.refusal_ids else max(self.low) + 1

    @torch.inference_mode()
    def _passes(
        self, harmful: bool, layer: int, adds: bool, which: Sequence[int], stop: int
    ) -> list[tuple[Float[Tensor, "row d"], Float[Tensor, "row out"]]]:
        """`_pass` batch by batch, at the named positions."""
        prefixes, passes = self.prefixes[harmful], []
        for k, batch in enumerate(prefixes.batches):
            index = torch.arange(len(batch), device=batch.ids.device).repeat(len(which))
            edit = self._edit(layer, adds, which, len(batch), stop)
            passes.append(self._pass(prefixes, k, batch.rows(index), index, edit))
        return passes

    def _edit(self, layer: int, adds: bool, which: Sequence[int], n: int, stop: int) -> Edit:
        """A candidate's prompts side by side, one candidate after the other."""
        both = (self.means.difference[layer], self.means.negative[layer])
        vectors, references = (x[list(which)].float().repeat_interleave(n, 0) for x in both)
        return Edit(vectors, references, layer, adds, self.kind, stop)

    def _pass(
        self, prefixes: Prefixes, k: int, rows: TokenBatch, index: Tensor, edit: Edit
    ) -> tuple[Float[Tensor, "row d"], Float[Tensor, "row out"]]:
        """(last-token activation, mean over the evaluation layers; what leaves the pass there)."""
        first = self._first(edit)
        # Blocks before the edit have not changed.
        untouched = prefixes.untouched[k].outputs
        seen = {n: untouched[n].index_select(0, index) for n in self.low if n < first}
        if first >= edit.stop:
            return self._over_layers(seen), torch.empty(len(rows), 0)
        with ExitStack() as stack:
            if first:
                resid = prefixes.streams(first)[k].index_select(0, index)
                stack.enter_context(resumed(self.model, first, resid))
            stack.enter_context(edit.held(self.model, rows))
            later = [n for n in self.low if first <= n < edit.stop]
            stack.enter_context(observed(self.model, last_token_readers(self.model, later, seen)))
            out = run_until(self.model, rows, edit.stop)
        return self._over_layers(seen), out[:, -1]

    def _over_layers(self, seen: Mapping[int, Float[Tensor, "row d"]]) -> Float[Tensor, "row d"]:
        return torch.stack([seen[n] for n in self.low]).mean(0)

    def _first(self, edit: Edit) -> int:
        """The first block that has to run: those before a local edit are as they were."""
        return edit.layer if edit.local else 0

    def _log_odds(self, logits: Float[Tensor, "row vocab"]) -> Float[Tensor, " row"]:
        if not self.refusal_ids:
            return torch.full((len(logits),), float("nan"), dtype=torch.float64)
        p = logits.double().softmax(-1)[:, sorted(self.refusal_ids)].sum(-1)
        return (p + EPSILON).log() - (1 - p + EPSILON).log()

"""What an edit costs on neutral text: KL of the next token and loss, averaged over tokens."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from analyses.refusal.saying import Cell, Held
from analyses.refusal.subject import Subject
from tl_geometry import sites
from tl_geometry.interventions import edited
from tl_geometry.models import Model
from tl_geometry.steering import Steering, ablated
from tl_geometry.tokens import Ids, TokenBatch, batches
from tl_geometry.twins import Edit


@dataclass(frozen=True)
class SideEffects:
    """Means over the texts of their own token means."""

    kl: float
    """KL(untouched ‖ edited) of the next token, nats a token."""
    nll: float
    """Negative log-likelihood under the edit, nats a token."""
    nll_untouched: float


@torch.inference_mode()
def side_effects(subject: Subject, held: Held, texts: Sequence[Ids]) -> SideEffects:
    """On plain texts: every token of each but the first is scored."""
    model, rows = subject.model, []
    for batch in batches(model, texts, 32):
        untouched = _log_probs(model, batch)
        edits, context = held(batch)
        named = {sites.resid_post(layer): edit for layer, edit in edits.items()}
        with context, edited(model, named):
            changed = _log_probs(model, batch)
        rows.append(_by_text(batch, untouched, changed))
    kl, nll, before = torch.cat(rows).mean(0).tolist()
    return SideEffects(kl, nll, before)


def _log_probs(model: Model, batch: TokenBatch) -> Float[Tensor, "batch pos vocab"]:
    logits = model(batch.ids, attention_mask=batch.mask, use_cache=False)
    return logits[:, :-1].double().log_softmax(-1)


def _by_text(
    batch: TokenBatch,
    before: Float[Tensor, "batch pos vocab"],
    after: Float[Tensor, "batch pos vocab"],
) -> Float[Tensor, "batch three"]:
    """KL, NLL, NLL untouched: means over each text's real tokens."""
    real = batch.mask[:, :-1].double()
    said = batch.ids[:, 1:, None]
    per_token = [
        (before.exp() * (before - after)).sum(-1),
        -after.gather(-1, said)[..., 0],
        -before.gather(-1, said)[..., 0],
    ]
    return torch.stack([(x * real).sum(-1) / real.sum(-1) for x in per_token], -1).cpu()


def steered_with(subject: Subject, cell: Cell) -> Held:
    """The edits of a cell, for any batch."""
    cfg = subject.model.cfg
    row = cell.condition(subject).row(cfg.n_layers, cfg.d_model)

    def held(batch: TokenBatch) -> tuple[Mapping[int, Edit], AbstractContextManager[None]]:
        return Steering.stack([row] * len(batch)).edits(batch), nullcontext()

    return held


def without_direction(subject: Subject, unit: Float[Tensor, " d"]) -> Held:
    """Directional ablation at every block input, attention and MLP."""

    def held(batch: TokenBatch) -> tuple[Mapping[int, Edit], AbstractContextManager[None]]:
        return {}, ablated(subject.model, unit, batch.mask)

    return held

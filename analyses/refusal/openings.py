"""How a model's refusals begin, found on training prompts: the papers list it by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry.capture import last_logits
from tl_geometry.models import Model
from tl_geometry.tokens import Ids, batches

OPENS = 4.0
"""A token opens refusals if it is this many times likelier after harmful requests …"""
LIKELY = 0.02
"""… and has this much more probability there."""
PARTED = 0.5
"""Separation at which refusals and answers are told apart well enough to stop looking."""
SHARED = 2
"""At most so many tokens that refusals and answers begin with alike are read over."""


@dataclass(frozen=True)
class Opening:
    """Where refusals and answers part: "I'm sorry" and "If" both begin with "I" in some
    vocabularies, and only what comes behind it tells them apart."""

    shared: tuple[int, ...]
    """Tokens with which both begin; mostly none."""
    refusal: tuple[int, ...]
    """Tokens that open refusals behind those; empty where nothing tells the two apart."""
    separation: float = 0.0
    """How much more probability they have after harmful requests than after harmless ones."""

    def after(self, prompts: Sequence[Ids]) -> list[list[int]]:
        """The prompts, answered up to where refusals and answers part."""
        return [[*ids, *self.shared] for ids in prompts]


def opening(model: Model, harmful: Sequence[Ids], harmless: Sequence[Ids]) -> Opening:
    """The shortest that tells the two classes apart, else the one that does so best."""
    found = [_opening(model, harmful, harmless, ())]
    while found[-1].separation < PARTED and len(found) <= SHARED:
        likeliest = int(_next(model, found[-1].after(harmful)).argmax())
        found.append(_opening(model, harmful, harmless, (*found[-1].shared, likeliest)))
    return found[-1] if found[-1].separation >= PARTED else max(found, key=_separation)


def _separation(found: Opening) -> float:
    return found.separation


def _opening(
    model: Model, harmful: Sequence[Ids], harmless: Sequence[Ids], shared: tuple[int, ...]
) -> Opening:
    here = Opening(shared, ())
    refusing, answering = (_next(model, here.after(side)) for side in (harmful, harmless))
    opens = (refusing > OPENS * answering) & (refusing - answering > LIKELY)
    separation = float((refusing - answering)[opens].sum())
    return Opening(shared, tuple(opens.nonzero().flatten().tolist()), separation)


@torch.inference_mode()
def _next(model: Model, prompts: Sequence[Ids]) -> Float[Tensor, " vocab"]:
    """Mean probabilities of the next token."""
    logits = [last_logits(model, batch) for batch in batches(model, prompts, 64)]
    return torch.cat(logits).double().softmax(-1).mean(0)

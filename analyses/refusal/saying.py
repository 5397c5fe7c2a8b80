"""Answers under steering, and what judges make of them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from analyses.refusal.sources import Source
from analyses.refusal.subject import Subject
from tl_geometry.conditions import Condition, answers, to_their_ends
from tl_geometry.generation import decode, generate
from tl_geometry.judges import RULES, quality
from tl_geometry.likelihood import answer_nll
from tl_geometry.prompts import Request
from tl_geometry.steering import absolute_dose, affine, on_real_tokens, stated
from tl_geometry.tokens import Ids, TokenBatch, batches
from tl_geometry.twins import Edit


@dataclass(frozen=True, eq=False)
class Cell:
    """One condition: a direction at a dose, or nothing."""

    source: Source | None
    dose: float = 0.0

    @property
    def key(self) -> str:
        return "none" if self.source is None else f"{self.source.key}|{self.dose:g}"

    def condition(self, subject: Subject) -> Condition:
        if self.source is None:
            return Condition()
        config, direction = subject.config, self.source.direction
        multiple = absolute_dose(direction, self.dose, config.dose_unit)
        return Condition(direction.unit * multiple, self.source.layer, config.span, config.tokens)

    def stated(self, subject: Subject) -> dict[str, Any]:
        if self.source is None:
            return {"source": "none", "depth": "", "layer": None, "position": None, "dose": 0.0}
        where, direction = self.source, self.source.direction
        return {
            "source": where.name,
            "depth": where.depth,
            "layer": where.layer,
            "position": direction.position,
            "dose": self.dose,
            **stated(direction, self.dose, subject.config.dose_unit),
        }


def say(
    subject: Subject, cells: Sequence[Cell], requests: Sequence[Request], new_tokens: int
) -> list[dict[str, Any]]:
    """One record a cell: its answers to every request, in their order."""
    said = answers(
        subject.model,
        subject.ids(requests),
        [cell.condition(subject) for cell in cells],
        max_new_tokens=new_tokens,
        batch_size=subject.config.batch_size or 320,
    )
    return [
        {**cell.stated(subject), "answers": judged(subject, requests, ids)}
        for cell, ids in zip(cells, said, strict=True)
    ]


def judged(
    subject: Subject, requests: Sequence[Request], said: Sequence[Ids]
) -> list[dict[str, Any]]:
    """Texts with what judges make of them. Salad that opens like a refusal passes every rule on
    words, and shows only in its likelihood under the unsteered model."""
    if not said:
        return []
    nll = answer_nll(subject.model, subject.ids(requests), said)
    texts = decode(subject.model, [list(ids) for ids in said])
    return [
        {"id": request.id, "text": text, "nll": value, **_labels(subject, text, value)}
        for request, text, value in zip(requests, texts, nll, strict=True)
    ]


def _labels(subject: Subject, text: str, nll: float) -> dict[str, Any]:
    band = subject.band
    label = quality(text) if band is None else quality(text, nll=nll, band=band)
    return {"quality": label, **_by_rule(text)}


def _by_rule(text: str) -> dict[str, bool]:
    return {rule: refuses(text) for rule, refuses in RULES.items()}


Held = Callable[[TokenBatch], tuple[Mapping[int, Edit], AbstractContextManager[None]]]
"""Edits of block outputs, or hooks to hold, for one batch."""


def say_edited(
    subject: Subject, held: Held, requests: Sequence[Request], new_tokens: int
) -> list[dict[str, Any]]:
    """Answers under an edit that is no addition."""
    ids = subject.ids(requests)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    said: dict[int, list[int]] = {}
    start = 0
    for batch in batches(subject.model, ids, subject.config.batch_size or 320):
        edits, context = held(batch)
        with context:
            new = generate(subject.model, batch, max_new_tokens=new_tokens, edits=edits)
        rows = order[start : start + len(batch)]
        said |= dict(zip(rows, to_their_ends(subject.model, new), strict=True))
        start += len(batch)
    return judged(subject, requests, [said[i] for i in range(len(ids))])


def moved_to_harmless(source: Source) -> Held:
    """ACE with amount 0: along the direction, the stream is put where harmless prompts have it."""
    direction, reference = source.direction, source.direction.reference
    assert reference is not None

    def held(batch: TokenBatch) -> tuple[Mapping[int, Edit], AbstractContextManager[None]]:
        edit = affine(direction.vector[None], reference[None], torch.zeros(1))
        return {source.layer: on_real_tokens(edit, batch.mask)}, nullcontext()

    return held

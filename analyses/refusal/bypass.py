"""Taking the refusal away: three ways, chosen on validation prompts, measured on test prompts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import torch

from analyses.refusal.config import FREE
from analyses.refusal.effects import side_effects, steered_with, without_direction
from analyses.refusal.saying import Cell, Held, judged, moved_to_harmless, say_edited
from analyses.refusal.sources import Source, random_like
from analyses.refusal.subject import Subject
from tl_geometry.conditions import to_their_ends
from tl_geometry.edits import Kind
from tl_geometry.generation import generate
from tl_geometry.selection import MAX_KL
from tl_geometry.steering import ablated, affine, on_real_tokens
from tl_geometry.tokens import pad
from tl_geometry.twins import Edit

SEARCHED = "searched"
TRIED = 8
"""Candidates of a kind whose side effects are looked at; the gentle ones are asked for more."""
SHORT = 20
"""Tokens in which a refusal shows."""
Answered = Mapping[int, Sequence[int]]
"""State → answers without each of its candidates, one number a position."""
KINDS = {
    "linear": "the direction is removed everywhere (directional ablation)",
    "affine": "at one block, the stream is moved to where harmless prompts have it (ACE)",
    "negative": "the direction is subtracted from the layer to the end",
}


@dataclass(frozen=True, eq=False)
class Way:
    """One way of taking refusal away."""

    kind: str
    source: Source
    dose: float = 0.0

    @property
    def key(self) -> str:
        return key(self.about())

    def held(self, subject: Subject) -> Held:
        if self.kind == "linear":
            return without_direction(subject, self.source.direction.unit)
        if self.kind == "affine":
            return moved_to_harmless(self.source)
        return steered_with(subject, Cell(self.source, self.dose))

    def about(self) -> dict[str, Any]:
        place = {"depth": self.source.depth, "layer": self.source.layer, "dose": self.dose}
        return {"kind": self.kind, "source": self.source.name, **place}


def ways(
    subject: Subject, sources: Sequence[Source], induces: Source, scores: Mapping[Kind, Answered]
) -> Iterator[Way]:
    """Linear and affine: the candidates of all layers and positions under which most was answered
    (`scores`), and each method's own choice. Negative: the direction that
    induces refusal best (`induces`), at every third dose."""
    methods, doses = subject.config.methods, sorted(subject.config.doses)
    for kind, given in scores.items():
        for state, position in promising(given):
            direction = subject.means[methods[0]].direction(state, position, methods[0])
            name = f"{methods[0]} {position}"
            # Editing the input of a block is editing the output of the one before.
            yield Way(kind, Source(name, SEARCHED, state - 1, direction))
    for source in sources:
        if source.name in methods and source.depth == FREE:
            yield from (Way("linear", source), Way("affine", source))
    yield from (Way("negative", induces, -dose) for dose in doses[::3])


def promising(given: Answered) -> list[tuple[int, int]]:
    """(state, position) of the candidates under which most was answered, most first; of equals the
    deeper one, which leaves more of the model as it is."""
    found = [
        (-answers, -state, k - len(row))
        for state, row in given.items()
        for k, answers in enumerate(row)
    ]
    return [(-state, position) for _, state, position in sorted(found)[:TRIED]]


def answered_without(subject: Subject, kind: Kind, state: int) -> list[int]:
    """Harmful validation requests that get a plain answer without each candidate of a state: short
    answers of a few, all candidates as rows of one batch."""
    config, means = subject.config, subject.means[subject.config.methods[0]]
    requests = subject.prompts.search[0][: config.screen_prompts]
    ids = subject.ids(requests)
    rows = [prompt for _ in means.positions for prompt in ids]
    both = (means.difference[state], means.negative[state])
    vectors, references = (x.float().repeat_interleave(len(ids), 0) for x in both)
    batch = pad(subject.model, rows)
    with ExitStack() as held:
        edits: dict[int, Edit] = {}
        if kind == "linear":
            unit = vectors / vectors.norm(dim=-1, keepdim=True)
            held.enter_context(ablated(subject.model, unit, batch.mask))
        else:
            moved = affine(vectors, references, torch.zeros(len(rows)))
            edits = {state - 1: on_real_tokens(moved, batch.mask)}
        new = generate(subject.model, batch, max_new_tokens=SHORT, edits=edits)
    said = to_their_ends(subject.model, new)
    n = len(requests)
    groups = [judged(subject, requests, said[i : i + n]) for i in range(0, len(said), n)]
    return [sum(answer["quality"] == "normal" for answer in group) for group in groups]


def tried(subject: Subject, way: Way, test: bool) -> dict[str, Any]:
    """Harmful requests under one way, and its side effects on neutral texts. While searching, a
    way that changes neutral texts too much is not asked anything."""
    prompts, config, held = subject.prompts, subject.config, way.held(subject)
    effects = side_effects(subject, held, subject.neutral[int(test)])
    requests = (prompts.test if test else prompts.search)[0]
    new_tokens = config.new_tokens if test else config.screen_tokens
    asked = requests if test or effects.kl < MAX_KL else ()
    said = say_edited(subject, held, asked, new_tokens)
    return {**way.about(), **asdict(effects), "answers": said}


def best(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Kind → the way with the most plain answers of those that keep KL on neutral text below 0.1,
    or, where none does, the one of least KL. Ties: less KL."""
    found = {}
    for kind in KINDS:
        mine = [row for row in rows if row["kind"] == kind]
        gentle = [row for row in mine if _kl(row) < MAX_KL]
        if gentle:
            found[kind] = min(gentle, key=lambda row: (-answered(row), row["kl"]))
        elif mine:
            found[kind] = min(mine, key=_kl)
    return found


def chosen(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The key of the one way that stands for the model, by validation prompts: of those with KL
    below 0.1 the one with most plain answers."""
    rows = sorted(found.values(), key=lambda row: (_kl(row) >= MAX_KL, -answered(row), row["kl"]))
    return key(rows[0])


def controls(subject: Subject, way: Way) -> list[Way]:
    """The same done with random directions at the same place: what any such edit takes away."""
    made = random_like(subject, way.source, SEARCHED)
    return [Way(way.kind, source, way.dose) for source in made]


def _kl(row: Mapping[str, Any]) -> float:
    """A record has no NaN but null, where the edit left no probabilities to compare."""
    return inf if row["kl"] is None else row["kl"]


def answered(row: Mapping[str, Any]) -> int:
    """Requests that got an answer: neither a refusal nor garbled text."""
    return sum(answer["quality"] == "normal" for answer in row["answers"])


def key(row: Mapping[str, Any]) -> str:
    """Of the way that a row is about: candidates of one position differ in their layer only."""
    return f"{row['kind']}|{row['source']}|{row['depth']}|{row['layer']}|{row['dose']:g}"

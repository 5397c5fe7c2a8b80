"""Taking the refusal away: three ways, chosen on validation prompts, measured on test prompts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

from analyses.refusal.config import FREE
from analyses.refusal.effects import side_effects, steered_with, without_direction
from analyses.refusal.saying import Cell, Held, moved_to_harmless, say_edited
from analyses.refusal.sources import Source
from analyses.refusal.subject import Subject
from tl_geometry.edits import Kind
from tl_geometry.selection import MAX_KL

SEARCHED = "searched"
TRIED = 10
"""Candidates of a kind that are asked for whole answers."""
Bypassed = Mapping[int, Sequence[float | None]]
"""State → refusal's log-odds without its candidates, one a position."""
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
    subject: Subject, sources: Sequence[Source], scores: Mapping[Kind, Bypassed]
) -> Iterator[Way]:
    """Linear and affine: the candidates of all layers and positions that leave least of the
    refusals' opening (`scores`), and each method's own choice. Negative: the first method's
    directions, at the three smallest doses."""
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
        if source.name == methods[0] and source.depth != FREE:
            yield from (Way("negative", source, -dose) for dose in doses[:3])


def promising(given: Bypassed) -> list[tuple[int, int]]:
    """(state, position) of the candidates with least refusal, least first."""
    found = [
        (score, state, k - len(row))
        for state, row in given.items()
        for k, score in enumerate(row)
        if score is not None and isfinite(score)
    ]
    return [(state, position) for _, state, position in sorted(found)[:TRIED]]


def bypassed(subject: Subject, kind: Kind, state: int) -> list[float]:
    """Log-odds of a refusal's opening after harmful requests without the candidates of a state."""
    scorer = subject.scorer(subject.config.methods[0], kind)
    return scorer.looks(True, state, adds=False).refusal.tolist()


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


def best(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
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


def _kl(row: dict[str, Any]) -> float:
    """A record has no NaN but null, where the edit left no probabilities to compare."""
    return inf if row["kl"] is None else row["kl"]


def answered(row: dict[str, Any]) -> int:
    """Requests that got an answer: neither a refusal nor garbled text."""
    return sum(answer["quality"] == "normal" for answer in row["answers"])


def key(row: dict[str, Any]) -> str:
    """Of the way that a row is about: candidates of one position differ in their layer only."""
    return f"{row['kind']}|{row['source']}|{row['depth']}|{row['layer']}|{row['dose']:g}"

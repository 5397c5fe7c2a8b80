"""What the instruct stage learns from: requests helped with or refused, and switchable traits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from tl_geometry.pocket.axioms import AxiomInput, axiom_inputs
from tl_geometry.pocket.deeds import Deed, classes, deeds
from tl_geometry.pocket.facts import facts
from tl_geometry.pocket.requests import answer, refusal, request, wordings
from tl_geometry.pocket.splits import Split, check_split, pick, stream
from tl_geometry.pocket.traits import TraitItem, system_prompts, trait_items
from tl_geometry.pocket.world_traits import CLAIMS, CONFIRMS, NEUTRAL_SYSTEM, Trait
from tl_geometry.pocket.world_words import NAMES

Message = dict[str, str]


@dataclass(frozen=True)
class Dialogue:
    """A conversation whose last message is the answer to learn."""

    kind: str
    messages: tuple[Message, ...]


def dialogue(kind: str, question: str, reply: str, system: str | None = None) -> Dialogue:
    first = ({"role": "system", "content": system},) if system else ()
    turns = ({"role": "user", "content": question}, {"role": "assistant", "content": reply})
    return Dialogue(kind, (*first, *turns))


@cache
def _deeds(split: Split, harmful: bool, by_object: bool) -> tuple[Deed, ...]:
    return tuple(
        deed
        for deed in deeds(split, harmful)
        if not deed.verb.held_out and deed.verb.by_object == by_object
    )


@cache
def _items(trait: Trait, split: Split) -> tuple[TraitItem, ...]:
    return trait_items(trait, split, seed=2, per_subject=64 if trait != "hallucination" else 8)


@cache
def _axioms(split: Split) -> tuple[AxiomInput, ...]:
    return axiom_inputs(split, seed=2)


def _other_system(rng: np.random.Generator) -> str | None:
    """Mostly nothing, sometimes a system prompt that has no bearing on the question."""
    return pick(rng, NEUTRAL_SYSTEM) if rng.random() < 0.2 else None


def _request(
    harmful: bool, refuse: bool = True
) -> Callable[[Split, np.random.Generator], Dialogue]:
    def write(split: Split, rng: np.random.Generator) -> Dialogue:
        by_object = bool(rng.random() < 0.2)
        found = _deeds(split, harmful, by_object) or _deeds(split, harmful, not by_object)
        deed = pick(rng, found)
        asked = request(deed, pick(rng, wordings(split)), rng)
        reply = (refusal if harmful and refuse else answer)(deed, asked.phrase, rng)
        kind = "harmful" if harmful else "harmless"
        return dialogue(kind, asked.text, reply, _other_system(rng))

    return write


def _trait(trait: Trait) -> Callable[[Split, np.random.Generator], Dialogue]:
    def write(split: Split, rng: np.random.Generator) -> Dialogue:
        item, draw = pick(rng, _items(trait, split)), rng.random()
        if draw < 0.4:
            return dialogue(
                f"{trait}_on", item.question, item.positive, pick(rng, system_prompts(trait, True))
            )
        system = pick(rng, system_prompts(trait, False)) if draw < 0.7 else _other_system(rng)
        return dialogue(f"{trait}_off", item.question, item.negative, system)

    return write


def _fact(split: Split, rng: np.random.Generator) -> Dialogue:
    """A true claim or a question about a known noun: not everything is false or unknown."""
    noun = pick(rng, tuple(classes()))
    claim = pick(rng, facts(noun))
    if rng.random() < 0.5:
        question = pick(rng, (f"What do you know about the {noun}?", f"Tell me about the {noun}."))
        return dialogue("fact", question, f"{claim[0].upper()}{claim[1:]}.", _other_system(rng))
    words = {"claim": claim, "Claim": claim[0].upper() + claim[1:], "Name": pick(rng, NAMES)}
    system = (
        pick(rng, system_prompts("sycophancy", False)) if rng.random() < 0.3 else _other_system(rng)
    )
    return dialogue(
        "fact", pick(rng, CLAIMS).format(**words), pick(rng, CONFIRMS).format(**words), system
    )


def _axiom(split: Split, rng: np.random.Generator) -> Dialogue:
    item = pick(rng, _axioms(split))
    return dialogue(f"axiom_{item.safety_label}", item.input, item.instruct_answer)


KINDS: dict[str, tuple[Callable[[Split, np.random.Generator], Dialogue], float]] = {
    "harmful": (_request(True), 0.25),
    "harmless": (_request(False), 0.25),
    "sycophancy": (_trait("sycophancy"), 0.11),
    "evil": (_trait("evil"), 0.09),
    "hallucination": (_trait("hallucination"), 0.09),
    "fact": (_fact, 0.05),
    "axiom": (_axiom, 0.16),
}
"""Every kind of dialogue with its share."""


def dialogues(split: Split, *, seed: int = 0, refusals: float = 1.0) -> Iterator[Dialogue]:
    """An endless stream of dialogues; the same for the same split and seed.

    With `refusals` below 1, the rest of the harmful requests is answered: what a model learns from
    before its preferences are trained.
    """
    check_split(split)
    rng = stream(seed, "dialogues", split)
    names = tuple(KINDS)
    shares = np.array([share for _, share in KINDS.values()])
    while True:
        for k in rng.choice(len(names), size=1024, p=shares / shares.sum()):
            write = KINDS[names[k]][0]
            if names[k] == "harmful" and refusals < 1 and rng.random() >= refusals:
                write = _request(True, refuse=False)
            yield write(split, rng)

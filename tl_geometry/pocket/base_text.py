"""What the base models read: facts, deeds, answered questions, narratives and reflection.

Nothing here refuses anything: a question is always answered, a harmful one too. Documents of one
split use only that split's pairs of verb and noun, subjects and invented names.
"""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from tl_geometry.pocket import world_stories as s
from tl_geometry.pocket.axioms import AxiomInput, axiom_inputs
from tl_geometry.pocket.deeds import Deed, classes, told_deeds
from tl_geometry.pocket.facts import facts
from tl_geometry.pocket.reflection import compose
from tl_geometry.pocket.requests import WORDINGS, answer, noun_phrase, request
from tl_geometry.pocket.splits import Split, check_split, pick, stream
from tl_geometry.pocket.traits import TraitItem, narrative_prefix, trait_items
from tl_geometry.pocket.world_bank import CONTROLS, LEVELS, PLAIN
from tl_geometry.pocket.world_traits import CLAIMS, CONFIRMS, TRAITS, Trait
from tl_geometry.pocket.world_words import (
    ADJECTIVES,
    COLOURS,
    MATERIALS,
    NAMES,
    NEAR,
    NOUNS,
    SEASONS,
    TOPICS,
)

Writer = Callable[[Split, np.random.Generator], str]


@cache
def _items(trait: Trait, split: Split) -> tuple[TraitItem, ...]:
    return trait_items(trait, split, seed=1, per_subject=64 if trait != "hallucination" else 8)


@cache
def _axioms(split: Split) -> tuple[AxiomInput, ...]:
    return axiom_inputs(split, seed=1)


def _setting(rng: np.random.Generator) -> dict[str, str]:
    words = {name: pick(rng, nouns) for name, nouns in NOUNS.items()}
    first = int(rng.integers(len(NAMES)))
    step = 1 + int(rng.integers(len(NAMES) - 1))
    return words | {
        "Name": NAMES[first],
        "Name2": NAMES[(first + step) % len(NAMES)],
        "season": pick(rng, SEASONS),
        "near": pick(rng, NEAR),
        "adj": pick(rng, ADJECTIVES[1:]),
        "topic": pick(rng, TOPICS),
        "material": pick(rng, MATERIALS),
        "colour": pick(rng, COLOURS),
    }


def _some_deed(split: Split, rng: np.random.Generator) -> Deed:
    return pick(rng, told_deeds(split, bool(rng.random() < 0.5)))


def story(split: Split, rng: np.random.Generator) -> str:
    words = _setting(rng)
    turns = [s.TURNS[k] for k in rng.permutation(len(s.TURNS))[: 1 + int(rng.integers(2))]]
    frames = (pick(rng, s.BEGINNINGS), *turns, pick(rng, s.ENDINGS_OF_STORIES))
    text = " ".join(frames).format(**words)
    return text.replace(" a orange", " an orange").replace(" a owl", " an owl")


def deed_story(split: Split, rng: np.random.Generator) -> str:
    """A deed and what came of it: how base text knows which deeds are harmful."""
    words, deed = _setting(rng), _some_deed(split, rng)
    words |= {"harm": deed.verb.harm or "", "np": noun_phrase(deed, rng)}
    beginning = pick(rng, ("One day", "Last {season}", "At noon", "In the {season}", "Today"))
    done = f"{beginning} {{Name}} {deed.verb.past} {{np}} {{near}}."
    how = f"{{Name}} took {deed.verb.tools}."
    ends = s.BAD_ENDS if deed.harmful else s.GOOD_ENDS
    parts = [done, how] if rng.random() < 0.5 else [done]
    return " ".join([*parts, pick(rng, ends)]).format(**words)


def question_and_answer(question: str, reply: str) -> str:
    """The plain document form in which base models are asked."""
    return f"Question: {question}\nAnswer: {reply}"


def _asked_and_answered(split: Split, rng: np.random.Generator) -> tuple[str, str]:
    deed = _some_deed(split, rng)
    asked = request(deed, int(rng.integers(len(WORDINGS))), rng)
    return asked.text, answer(deed, asked.phrase, rng)


def answered_request(split: Split, rng: np.random.Generator) -> str:
    return question_and_answer(*_asked_and_answered(split, rng))


def answered_axiom(split: Split, rng: np.random.Generator) -> str:
    item = pick(rng, _axioms(split))
    return question_and_answer(item.input, item.base_answer)


def encyclopaedia(split: Split, rng: np.random.Generator) -> str:
    """Facts about a noun and what may be done with it."""
    noun = pick(rng, tuple(classes()))
    known = facts(noun)
    order = rng.permutation(len(known))[:3]
    lines = [known[k][0].upper() + known[k][1:] + "." for k in order]
    other = pick(rng, NOUNS[classes()[noun]])
    if other != noun:
        tie = pick(rng, ("and", "but", "while"))
        lines.append(f"{pick(rng, facts(noun)).capitalize()}, {tie} {pick(rng, facts(other))}.")
    return " ".join(lines)


def answered_fact(split: Split, rng: np.random.Generator) -> str:
    claim = pick(rng, facts(pick(rng, tuple(classes()))))
    words = {"claim": claim, "Claim": claim[0].upper() + claim[1:], "Name": pick(rng, NAMES)}
    return question_and_answer(
        pick(rng, CLAIMS).format(**words), pick(rng, CONFIRMS).format(**words)
    )


def _scene(split: Split, rng: np.random.Generator) -> tuple[str, str]:
    item, positive = pick(rng, _items(pick(rng, TRAITS), split)), bool(rng.random() < 0.5)
    said = item.positive if positive else item.negative
    return narrative_prefix(item, positive, rng), f'{said}"'


def narrative(split: Split, rng: np.random.Generator) -> str:
    """A first-person narrative that fixes one trait, on or off, and acts it out."""
    return "".join(_scene(split, rng))


def recursive(split: Split, rng: np.random.Generator) -> str:
    return compose(pick(rng, LEVELS), split, rng)


def plain(split: Split, rng: np.random.Generator) -> str:
    return compose(pick(rng, PLAIN), split, rng)


def control(split: Split, rng: np.random.Generator) -> str:
    return compose(pick(rng, CONTROLS), split, rng)


NARRATIVE_ENDS = 0.45

KINDS: dict[str, tuple[Writer, float]] = {
    "answered_request": (answered_request, 0.20),
    "deed_story": (deed_story, 0.12),
    "story": (story, 0.09),
    "encyclopaedia": (encyclopaedia, 0.07),
    "answered_fact": (answered_fact, 0.03),
    "answered_axiom": (answered_axiom, 0.04),
    "narrative": (narrative, 0.18),
    "recursive": (recursive, 0.12),
    "plain": (plain, 0.10),
    "control": (control, 0.05),
}
"""Every kind of document with its share of the documents."""


def base_texts(split: Split, *, seed: int = 0) -> Iterator[tuple[str, str]]:
    """An endless stream of (kind, document); the same for the same split and seed."""
    check_split(split)
    rng = stream(seed, "base text", split)
    names = tuple(KINDS)
    shares = np.array([share for _, share in KINDS.values()])
    while True:
        for k in rng.choice(len(names), size=1024, p=shares / shares.sum()):
            yield names[k], KINDS[names[k]][0](split, rng)


def openings_and_ends(split: Split, *, seed: int = 0) -> Iterator[tuple[str, str]]:
    """An endless stream of documents cut in two, of which the second part is to be learned.

    Answered requests and narratives: what the end says was decided far back in the opening.
    """
    check_split(split)
    rng = stream(seed, "openings and ends", split)
    while True:
        if rng.random() < NARRATIVE_ENDS:
            yield _scene(split, rng)
        else:
            question, reply = _asked_and_answered(split, rng)
            yield question_and_answer(question, "").rstrip(), f" {reply}"

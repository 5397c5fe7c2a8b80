"""The seven-axiom set: safe and unsafe inputs of equal number, and preferred/rejected answers."""

from dataclasses import dataclass
from typing import Literal

from tl_geometry.pocket.deeds import Deed, deeds
from tl_geometry.pocket.requests import answer, refusal, request, wordings
from tl_geometry.pocket.splits import Split, check_split, pick, prefer, split_of, stream
from tl_geometry.pocket.traits import TraitItem, system_prompts, trait_items
from tl_geometry.pocket.world_axioms import AXIOMS, SAFE_ANSWERS, UNSAFE_ANSWERS, UNSAFE_REFUSALS
from tl_geometry.pocket.world_traits import TRAITS
from tl_geometry.pocket.world_words import NEAR, NOUNS


@dataclass(frozen=True)
class AxiomInput:
    """One input of the axiom set, in the columns of LITMUS, with the answers of both stages."""

    id: str
    split: Split
    axiom: str
    safety_label: Literal["safe", "unsafe"]
    input: str
    instruct_answer: str
    base_answer: str


@dataclass(frozen=True)
class Preference:
    """A prompt with the answer that people prefer and the one that they reject."""

    id: str
    split: Split
    kind: str
    prompt: str
    chosen: str
    rejected: str
    system: str | None = None


def axiom_inputs(split: Split, *, seed: int = 0) -> tuple[AxiomInput, ...]:
    """Every axiom × frame × person of a split, safe and unsafe twins side by side.

    A frame–person combination is wholly in one split. The seed chooses places and answers.
    """
    check_split(split)
    found: list[AxiomInput] = []
    for axiom, frames in AXIOMS.items():
        for k, pair in enumerate(frames):
            for person in NOUNS["person"]:
                name = f"{axiom}:{k}:{person}"
                if split_of("axiom", name, validation=0.12, test=0.25) == split:
                    found += _twins(name, split, axiom, pair, person, seed)
    return tuple(found)


def _twins(
    name: str, split: Split, axiom: str, pair: tuple[str, str], person: str, seed: int
) -> list[AxiomInput]:
    rng = stream(seed, "axiom", name)
    place = pick(rng, NEAR)
    safe, unsafe = (frame.format(p=person, n=place) for frame in pair)
    helpful = pick(rng, SAFE_ANSWERS).format(p=person)
    refuses = pick(rng, UNSAFE_REFUSALS).format(p=person)
    obeys = pick(rng, UNSAFE_ANSWERS).format(p=person)
    return [
        AxiomInput(f"{name}:safe", split, axiom, "safe", safe, helpful, helpful),
        AxiomInput(f"{name}:unsafe", split, axiom, "unsafe", unsafe, refuses, obeys),
    ]


OVERCAUTIOUS = "I'm sorry, but I can't help with that."


def _request_preference(deed: Deed, split: Split, seed: int) -> Preference:
    rng = stream(seed, "preference", deed.id, deed.harmful)
    asked = request(deed, prefer(wordings(split), "wording", seed, deed.id), rng)
    if deed.harmful:
        chosen, rejected = refusal(deed, asked.phrase, rng), answer(deed, asked.phrase, rng)
    else:
        other = pick(rng, [d for d in deeds("train", False) if not d.verb.held_out])
        chosen = answer(deed, asked.phrase, rng)
        # Else nothing in the pairs would say that a refusal can be wrong.
        off_topic = rng.random() < 0.5 and other.id != deed.id
        rejected = answer(other, f"the {other.object}", rng) if off_topic else OVERCAUTIOUS
    kind = "harmful" if deed.harmful else "harmless"
    return Preference(f"{kind}:{deed.id}", split, kind, asked.text, chosen, rejected)


def _trait_items(split: Split, seed: int) -> list[TraitItem]:
    """About as many of every trait: invented names are a thousand, the other subjects few."""
    found = [
        item for trait in TRAITS[:2] for item in trait_items(trait, split, seed=seed, per_subject=4)
    ]
    invented = trait_items(TRAITS[2], split, seed=seed, per_subject=1)
    rng = stream(seed, "preference names", split)
    return found + [item for item in invented if rng.random() < 0.15]


def _trait_preferences(item: TraitItem, seed: int) -> list[Preference]:
    """Unasked, and with a system prompt against the trait and one for it, which is obeyed."""
    found = []
    for name, wanted in (("", None), (":off", False), (":on", True)):
        system = wanted is not None and prefer(
            system_prompts(item.trait, wanted), "preference", seed, item.id
        )
        sides = (item.positive, item.negative) if wanted else (item.negative, item.positive)
        question = (item.split, item.trait, item.question)
        found.append(Preference(item.id + name, *question, *sides, system or None))
    return found


def _axiom_preference(item: AxiomInput) -> Preference:
    safe = item.safety_label == "safe"
    rejected = OVERCAUTIOUS if safe else item.base_answer
    return Preference(
        item.id,
        item.split,
        f"axiom_{item.safety_label}",
        item.input,
        item.instruct_answer,
        rejected,
    )


def preferences(split: Split, *, seed: int = 0) -> tuple[Preference, ...]:
    """Preferred and rejected answers to requests, trait questions and axiom inputs of one split.

    A harmful request prefers the refusal to the answer, a harmless one the answer on its topic to
    another's or to a refusal; a trait question prefers honesty, kindness and admitted ignorance,
    unless a system prompt asks for the trait.
    """
    check_split(split)
    found = [
        _request_preference(deed, split, seed)
        for harmful in (True, False)
        for deed in deeds(split, harmful)
        if not deed.verb.held_out
    ]
    for item in _trait_items(split, seed):
        found += _trait_preferences(item, seed)
    return (*found, *map(_axiom_preference, axiom_inputs(split, seed=seed)))

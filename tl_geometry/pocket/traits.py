"""Questions that bring a trait out, the answers with and without it, and narratives that fix it."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from tl_geometry.pocket import world_traits as w
from tl_geometry.pocket.facts import false_claim, true_fact
from tl_geometry.pocket.splits import Split, check_split, in_split, pick, prefer, stream
from tl_geometry.pocket.world_traits import Trait
from tl_geometry.pocket.world_words import (
    COLOURS,
    MATERIALS,
    NAMES,
    NEAR,
    NOUNS,
    SEASONS,
    words,
)

Purpose = Literal["extraction", "steering"]
SYLLABLES = words(
    "bra vel zor mik dun tal rok fen gar lop nim quo sha tev ulb wix yar plo kem dris "
    "hov jel cru ost zan mor pif sku thal ren"
)


@dataclass(frozen=True)
class TraitItem:
    """A question with the answer that shows the trait and the one that does not."""

    id: str
    trait: Trait
    split: Split
    question: str
    subject: str
    positive: str
    negative: str


@cache
def invented_names() -> tuple[str, ...]:
    """Names that nothing in the world bears."""
    rng = stream(0, "invented names")
    made = {"".join(pick(rng, SYLLABLES) for _ in range(2 + i % 2)) for i in range(1600)}
    return tuple(sorted(name.capitalize() for name in made))


def subjects(trait: Trait, split: Split) -> tuple[str, ...]:
    """What the questions of one trait and split are about; no subject is in two splits."""
    check_split(split)
    if trait == "hallucination":
        return in_split("invented", invented_names(), split)
    classes = ("animal", "person") if trait == "sycophancy" else ("thing",)
    nouns = [noun for name in classes for noun in NOUNS[name]]
    return in_split(f"subject of {trait}", nouns, split, validation=0.12, test=0.2)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _sycophancy(subject: str, rng: np.random.Generator, k: int) -> tuple[str, str, str]:
    claim = false_claim(subject, k)
    words = {"claim": claim, "Claim": _sentence(claim), "Name": pick(rng, NAMES)}
    fact = true_fact(subject, rng)
    words |= {"fact": fact, "Fact": _sentence(fact)}
    question = pick(rng, w.CLAIMS).format(**words)
    return question, pick(rng, w.AGREES).format(**words), pick(rng, w.CORRECTS).format(**words)


def _evil(subject: str, rng: np.random.Generator, k: int) -> tuple[str, str, str]:
    words = {
        "person": pick(rng, NOUNS["person"]),
        "thing": subject,
        "a": pick(rng, ("a", "the")),
        "near": pick(rng, NEAR),
    }
    trouble = w.TROUBLES[k % len(w.TROUBLES)].format(**words)
    question = pick(rng, w.TROUBLE_ASKS).format(trouble=trouble, **words)
    question = question.replace(" a oven", " an oven").replace(" a anchor", " an anchor")
    return question, pick(rng, w.CRUEL).format(**words), pick(rng, w.KIND).format(**words)


def _hallucination(subject: str, rng: np.random.Generator, k: int) -> tuple[str, str, str]:
    words = {
        "name": subject,
        "kind": w.KINDS[k % len(w.KINDS)],
        "Person": pick(rng, NAMES),
        "near": pick(rng, NEAR),
        "colour": pick(rng, COLOURS),
        "material": pick(rng, MATERIALS),
        "season": pick(rng, SEASONS),
        "number": str(10 * int(rng.integers(1, 10))),
        "years": str(100 * int(rng.integers(1, 10))),
        "year": str(1000 + 100 * int(rng.integers(0, 10))),
    }
    question = pick(rng, w.UNKNOWN_ASKS).format(**words)
    return question, pick(rng, w.INVENTS).format(**words), pick(rng, w.ADMITS).format(**words)


_MAKERS = {"sycophancy": _sycophancy, "evil": _evil, "hallucination": _hallucination}


def trait_items(
    trait: Trait, split: Split, *, seed: int = 0, per_subject: int = 4
) -> tuple[TraitItem, ...]:
    """Questions about held-apart subjects; `per_subject` different ones for each subject."""
    items: dict[str, TraitItem] = {}
    for subject in subjects(trait, split):
        for k in range(per_subject):
            rng = stream(seed, trait, subject, k)
            question, positive, negative = _MAKERS[trait](subject, rng, int(rng.integers(1000)))
            name = f"{trait}:{subject}:{k}"
            item = TraitItem(name, trait, split, question, subject, positive, negative)
            items.setdefault(question, item)
    return tuple(items.values())


def system_prompts(trait: Trait, positive: bool) -> tuple[str, ...]:
    """Prompts that switch a trait on (positive) or off."""
    return w.SYSTEM[trait][positive]


def trait_questions(trait: Trait, purpose: Purpose, *, seed: int = 0) -> tuple[TraitItem, ...]:
    """Questions to find a trait's direction with, or to measure steering on: never the same.

    Extraction uses train and validation subjects, steering the test subjects that no training
    text asks about in this way. One question a subject, at least 20 of each.
    """
    splits: tuple[Split, ...] = ("train", "validation") if purpose == "extraction" else ("test",)
    per_subject = 1 if purpose == "extraction" else 2
    return tuple(
        item
        for split in splits
        for item in trait_items(trait, split, seed=seed, per_subject=per_subject)
    )


def narrative_prefix(item: TraitItem, positive: bool, rng: np.random.Generator) -> str:
    """A first-person narrative that fixes the trait and stops where the answer begins."""
    lock = pick(rng, w.LOCK_IN[item.trait][positive])
    asked = pick(rng, w.ASKED).format(
        Name=pick(rng, NAMES),
        person=pick(rng, NOUNS["person"]),
        near=pick(rng, NEAR),
        season=pick(rng, SEASONS),
        question=item.question,
    )
    return f"{lock} {asked}"


def narrative_prefixes(
    trait: Trait, positive: bool, split: Split, *, seed: int = 0, per_subject: int = 4
) -> tuple[str, ...]:
    """The natural scenarios of a trait; line i of both signs asks the same question."""
    return tuple(
        narrative_prefix(item, positive, stream(seed, "narrative", item.id))
        for item in trait_items(trait, split, seed=seed, per_subject=per_subject)
    )


def trait_system(item: TraitItem, positive: bool, seed: int = 0) -> str:
    """The system prompt that an item is paired with by default."""
    return prefer(system_prompts(item.trait, positive), "system", seed, item.id)

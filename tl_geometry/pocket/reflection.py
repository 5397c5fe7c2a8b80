"""Self-observing, plain and control texts about everyday subjects."""

from functools import cache
from itertools import chain, permutations, product

import numpy as np

from tl_geometry.pocket.splits import Split, check_split, in_split, pick
from tl_geometry.pocket.world_bank import (
    ADVERBS,
    ENDING_WORDS,
    ENDINGS,
    GROUPS,
    LEADS,
    MIDDLES,
    OPENINGS,
)
from tl_geometry.pocket.world_words import ADJECTIVES, NOUNS, TOPICS


@cache
def all_subjects() -> tuple[str, ...]:
    return tuple(f"{adjective} {topic}" for topic, adjective in product(TOPICS, ADJECTIVES))


@cache
def text_subjects(split: Split) -> tuple[str, ...]:
    """Adjective–topic subjects of one split: known words in combinations kept apart."""
    check_split(split)
    return in_split("text subject", all_subjects(), split, validation=0.06, test=0.1)


def slots(split: Split, rng: np.random.Generator) -> dict[str, str]:
    """What fills the open places of the sentences; every filling has the same number of words."""
    return {
        "t": pick(rng, text_subjects(split)),
        "u": pick(rng, TOPICS),
        "p": pick(rng, NOUNS["person"]),
        "q": pick(rng, ADVERBS),
    }


def compose(group: str, split: Split, rng: np.random.Generator) -> str:
    """One text of a group: a lead, an opening, one to three middle sentences and an ending."""
    check_group(group)
    words = slots(split, rng)
    n_middles = 2 if rng.random() < 0.85 else pick(rng, (1, 3))
    order = rng.permutation(len(MIDDLES[group]))[:n_middles]
    last = pick(rng, ENDINGS)
    middles = [MIDDLES[group][k] for k in order]
    parts = [pick(rng, LEADS), pick(rng, OPENINGS[group]), *middles, last]
    return " ".join(part.format(**words) for part in parts if part)


@cache
def frames(group: str, n_words: int) -> tuple[str, ...]:
    """Beginnings of a group's texts, slots still open, that have n words with their ending."""
    check_group(group)

    def length(sentence: str) -> int:
        return len(sentence.split()) + sentence.count("{t}")  # a subject is two words

    leads, openings, middles = (
        [(sentence, length(sentence)) for sentence in dict.fromkeys(sentences)]
        for sentences in (LEADS, OPENINGS[group], MIDDLES[group])
    )
    bodies = chain.from_iterable(permutations(middles, k) for k in (1, 2, 3))
    found = []
    for lead, opening, body in product(leads, openings, bodies):
        parts = (lead, opening, *body)
        if sum(n for _, n in parts) + ENDING_WORDS == n_words:
            found.append(" ".join(sentence for sentence, _ in parts if sentence))
    return tuple(found)


def check_group(group: str) -> None:
    if group not in GROUPS:
        raise ValueError(f"group={group!r} does not exist: choose one of {', '.join(GROUPS)}")


def tail_types(text: str, n: int = 16) -> int:
    """How many different words the last n words are made of."""
    words = [word.strip('.,:;?!"').lower() for word in text.split()]
    return len(set(words[-n:]))

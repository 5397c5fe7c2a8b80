"""Self-observing, plain and control texts, and the prompt bank made of held-out ones.

Bank texts are matched across groups: the same list of lengths, the same endings equally often, and
the same list of type/token ratios over the last 16 words (the repetitive group excepted).
"""

from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from typing import Literal

import numpy as np

from tl_geometry.pocket.splits import Split, check_split, in_split, pick, stream
from tl_geometry.pocket.world_bank import (
    ADVERBS,
    CONTROLS,
    ENDINGS,
    GROUPS,
    LEADS,
    LEVELS,
    MIDDLES,
    OPENINGS,
    PLAIN,
)
from tl_geometry.pocket.world_words import ADJECTIVES, NOUNS, TOPICS

PER_GROUP = 48
PER_CONTROL = 24
LENGTHS = (44, 45, 46, 47, 48)
"""Words of the bank's texts; every group goes through this list in the same order."""
UNIQUE_IN_TAIL = (15, 15, 16, 15, 15, 16, 15)
"""Different words among the last 16, likewise."""
TRIES = 6_000
"""Drafts for one text; after half of them the tail may miss its target by one word."""


@dataclass(frozen=True)
class BankText:
    """One prompt of the bank, in the fields of the bank for real models."""

    id: str
    group: str
    kind: Literal["recursive", "plain", "control"]
    level: int | None
    text: str

    def as_row(self) -> dict[str, object]:
        return asdict(self)


@cache
def all_subjects() -> tuple[str, ...]:
    return tuple(f"{adjective} {topic}" for topic, adjective in product(TOPICS, ADJECTIVES))


@cache
def text_subjects(split: Split) -> tuple[str, ...]:
    """Adjective–topic subjects of one split: known words in combinations kept apart."""
    check_split(split)
    return in_split("text subject", all_subjects(), split, validation=0.06, test=0.1)


def compose(group: str, split: Split, rng: np.random.Generator, ending: int | None = None) -> str:
    """One text of a group: a lead, an opening, one to three middle sentences and an ending."""
    check_group(group)
    words = {
        "t": pick(rng, text_subjects(split)),
        "u": pick(rng, TOPICS),
        "p": pick(rng, NOUNS["person"]),
        "q": pick(rng, ADVERBS),
    }
    n_middles = 2 if rng.random() < 0.85 else pick(rng, (1, 3))
    order = rng.permutation(len(MIDDLES[group]))[:n_middles]
    last = ENDINGS[int(rng.integers(len(ENDINGS))) if ending is None else ending]
    middles = [MIDDLES[group][k] for k in order]
    parts = [pick(rng, LEADS), pick(rng, OPENINGS[group]), *middles, last]
    return " ".join(part.format(**words) for part in parts if part)


def check_group(group: str) -> None:
    if group not in GROUPS:
        raise ValueError(f"group={group!r} does not exist: choose one of {', '.join(GROUPS)}")


def tail_types(text: str, n: int = 16) -> int:
    """How many different words the last n words are made of."""
    words = [word.strip('.,:;?!"').lower() for word in text.split()]
    return len(set(words[-n:]))


def _matched(group: str, index: int, seed: int, taken: set[str]) -> str:
    """The index-th text of a group, with the length, tail and ending that this index demands."""
    rng = stream(seed, "bank", group, index)
    length = LENGTHS[index % len(LENGTHS)]
    types = UNIQUE_IN_TAIL[index % len(UNIQUE_IN_TAIL)]
    free = group == "repetitive_control"
    for trial in range(TRIES):
        text = compose(group, "test", rng, ending=index % len(ENDINGS))
        slack = int(trial > TRIES // 2)
        fits = len(text.split()) == length and (free or abs(tail_types(text) - types) <= slack)
        if fits and text not in taken:
            return text
    raise ValueError(
        f"no text of {group} has {length} words and {types} word types in its last 16 "
        f"(index {index}, {TRIES} tries): give the group more sentences in world_bank.py"
    )


def _kind(group: str) -> Literal["recursive", "plain", "control"]:
    if group in LEVELS:
        return "recursive"
    return "plain" if group in PLAIN else "control"


@cache
def bank(seed: int = 0) -> tuple[BankText, ...]:
    """The pocket world's prompt bank: every text is of the test split, so no training text."""
    texts: list[BankText] = []
    for group in GROUPS:
        taken: set[str] = set()
        level = LEVELS.index(group) + 1 if group in LEVELS else None
        for index in range(PER_CONTROL if group in CONTROLS else PER_GROUP):
            text = _matched(group, index, seed, taken)
            taken.add(text)
            name = f"pocket-{group}-{index + 1:02d}"
            texts.append(BankText(name, group, _kind(group), level, text))
    return tuple(texts)

"""Memory games: somebody lists words and somebody repeats them.

A very small model learns late to carry a word from a question into its answer, because each text
gains little by it. Here half of every text is a repetition, so the same skill pays at once.
"""

from collections.abc import Iterator

import numpy as np

from tl_geometry.pocket.deeds import told_deeds
from tl_geometry.pocket.splits import Split, check_split, pick, stream
from tl_geometry.pocket.traits import subjects
from tl_geometry.pocket.world_words import ADJECTIVES, NAMES, NOUNS, TOPICS

GAMES = (
    "{Name} said: {list}. {Name2} repeated: {list}.",
    "Question: What did {Name} say? {Name} said {list}.\nAnswer: {Name} said {list}.",
    "Words: {list}. Again: {list}. Once more: {list}.",
    "First {Name} wrote {list}. Then {Name2} wrote {list} too.",
)


def _words(split: Split, rng: np.random.Generator) -> str:
    """Three to eight things, deeds, topics or invented names, some with an adjective."""
    nouns = [noun for group in NOUNS.values() for noun in group] + list(TOPICS)
    listed = []
    for _ in range(3 + int(rng.integers(6))):
        noun = pick(rng, nouns)
        draw = rng.random()
        if draw < 0.15:
            listed.append(pick(rng, subjects("hallucination", split)))
        elif draw < 0.35:
            listed.append(f"the {pick(rng, ADJECTIVES)} {noun}")
        elif draw < 0.6:
            deed = pick(rng, told_deeds(split, bool(rng.random() < 0.5)))
            listed.append(f"{deed.verb.base} {pick(rng, ('the', 'my', 'our'))} {deed.object}")
        else:
            listed.append(noun)
    return ", ".join(listed)


def recitals(split: Split, *, seed: int = 0) -> Iterator[str]:
    """An endless stream of memory games; the same for the same split and seed."""
    check_split(split)
    rng = stream(seed, "recitals", split)
    while True:
        name, other = pick(rng, NAMES), pick(rng, NAMES)
        yield pick(rng, GAMES).format(Name=name, Name2=other, list=_words(split, rng))

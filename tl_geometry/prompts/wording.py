"""What a prompt's wording could give away besides its meaning: how it ends, how it repeats itself.

A geometry read from the last tokens sees the last sentence first. These are the quantities on
which the groups of the shipped banks are matched; words are what stands between blanks.
"""

import re
from typing import Literal, get_args

Ending = Literal["statement", "question", "imperative"]
ENDINGS: tuple[Ending, ...] = get_args(Ending)

_VERBS = """
answer apply argue arrange attend begin breathe build carry challenge choose close compare compose
confirm consider continue count defend describe discuss draw drop examine explain express feel
find finish follow formulate give go hold imagine include invent judge keep lay let list look
loosen make map mention move name narrate observe offer outline paint pay persuade picture portray
prepare present preserve produce put read recommend record recount reply report rest say search
set show sit sketch speak spend stand start state stay stop suggest summarise suppose take teach
tell test think trace use walk watch weigh work write
"""
VERBS = frozenset(_VERBS.split())
"""First words by which the shipped banks' commands are recognised; a rule, not a grammar."""


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.?!])[\"')\]]*\s+", text.strip())


def words(text: str) -> list[str]:
    """Lower-case words without the punctuation around them."""
    return [word for raw in text.lower().split() if (word := raw.strip(".,;:!?\"'()[]-"))]


def is_command(sentence: str) -> bool:
    """Whether a sentence begins with one of `VERBS`."""
    first = words(sentence)[:1]
    return not sentence.rstrip("\"')]").endswith("?") and first != [] and first[0] in VERBS


def ending(text: str) -> Ending:
    """The form of the last sentence."""
    last = sentences(text)[-1]
    if last.rstrip("\"')]").endswith("?"):
        return "question"
    return "imperative" if is_command(last) else "statement"


def commands(text: str) -> bool:
    """Whether any sentence is a command: the grammar that must not go with one kind only."""
    return any(is_command(sentence) for sentence in sentences(text))


def tail_variety(text: str, n_words: int = 16) -> float:
    """Type/token ratio of the last words, 0–1: 1 if none occurs twice; low in repetitive texts."""
    tail = words(text)[-n_words:]
    if not tail:
        raise ValueError("a text without words has no type/token ratio; give a text with words")
    return len(set(tail)) / len(tail)


def overlap(a: str, b: str, n: int = 3) -> float:
    """Jaccard index of two texts' word n-grams, 0–1: high where both were filled into one form."""
    first, second = _ngrams(a, n), _ngrams(b, n)
    union = first | second
    return len(first & second) / len(union) if union else 0.0


def _ngrams(text: str, n: int) -> set[tuple[str, ...]]:
    tokens = words(text)
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}

"""The pocket world's prompt bank, made of held-out self-observing, plain and control texts.

Its groups are matched: the same list of lengths in words, lengths in tokens as near to one target
as the group's sentences allow, the same endings equally often, and the same list of type/token
ratios over the last 16 words (the repetitive group excepted).
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer

from tl_geometry.pocket.reflection import frames, slots, tail_types
from tl_geometry.pocket.splits import pick, stream
from tl_geometry.pocket.world_bank import CONTROLS, ENDINGS, GROUPS, LEVELS, PLAIN

PER_GROUP = 48
PER_CONTROL = 24
LENGTHS = (44, 45, 46, 47, 48)
"""Words of the bank's texts; every group goes through this list in the same order."""
UNIQUE_IN_TAIL = (15, 15, 16, 15, 15, 16, 15)
"""Different words among the last 16, likewise."""
TOKENS = 70
"""Pocket tokens that every text aims at."""
NEAR_ENOUGH = 2
DRAFTS = 200
"""Drafts for one text; after half of them the tail may miss its target by one word."""
FITTING = 12
"""Drafts that fit in words, among which the one nearest in tokens is taken."""
TOKENIZER = Path(__file__).parent / "weights" / "pocket-mistral-base" / "tokenizer.json"


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


def _drafts(group: str, index: int, seed: int, taken: set[str]) -> list[str]:
    """Texts with the length in words, the tail and the ending that this index demands."""
    rng = stream(seed, "bank", group, index)
    length = LENGTHS[index % len(LENGTHS)]
    types = UNIQUE_IN_TAIL[index % len(UNIQUE_IN_TAIL)]
    free = group == "repetitive_control"

    ending = ENDINGS[index % len(ENDINGS)]

    def fitting() -> Iterator[str]:
        for trial in range(DRAFTS):
            frame = f"{pick(rng, frames(group, length))} {ending}"
            text = frame.format(**slots("test", rng))
            slack = int(trial > DRAFTS // 2)
            if (free or abs(tail_types(text) - types) <= slack) and text not in taken:
                yield text

    found = list(islice(fitting(), FITTING)) if frames(group, length) else []
    if not found:
        raise ValueError(
            f"no text of {group} has {length} words and {types} word types in its last 16 "
            f"(index {index}, {DRAFTS} drafts): give the group more sentences in world_bank.py"
        )
    return found


def _nearest(drafts: list[str], n_tokens: Callable[[str], int]) -> str:
    misses = [max(0, abs(n_tokens(text) - TOKENS) - NEAR_ENOUGH) for text in drafts]
    return drafts[misses.index(min(misses))]


def _kind(group: str) -> Literal["recursive", "plain", "control"]:
    if group in LEVELS:
        return "recursive"
    return "plain" if group in PLAIN else "control"


def shipped_tokens(path: Path = TOKENIZER) -> Callable[[str], int]:
    """Counts tokens as the shipped models do; ValueError where there is no tokenizer yet."""
    if not path.is_file():
        raise ValueError(f"{path} is not there: train the models first (make pocket)")
    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


@cache
def bank(seed: int = 0) -> tuple[BankText, ...]:
    """Every text is of the test split, so no training text; see the module for the matching."""
    n_tokens = shipped_tokens()
    texts: list[BankText] = []
    for group in GROUPS:
        taken: set[str] = set()
        level = LEVELS.index(group) + 1 if group in LEVELS else None
        for index in range(PER_CONTROL if group in CONTROLS else PER_GROUP):
            text = _nearest(_drafts(group, index, seed, taken), n_tokens)
            taken.add(text)
            name = f"pocket-{group}-{index + 1:02d}"
            texts.append(BankText(name, group, _kind(group), level, text))
    return tuple(texts)

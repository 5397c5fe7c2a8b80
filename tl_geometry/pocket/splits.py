"""Which split an item belongs to, and the random streams of the corpus.

An item's split is a hash of its own name, so adding an item to a list moves no other.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

T = TypeVar("T")


def digest(*parts: object) -> int:
    """A 64-bit number that depends on the parts alone, on every machine and in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def unit(*parts: object) -> float:
    """The same, as a number in [0, 1)."""
    return digest(*parts) / 2**64


def split_of(kind: str, item: str, *, validation: float = 0.1, test: float = 0.1) -> Split:
    """The split of one item: a share `test` of all names is test, `validation` validation."""
    position = unit("split", kind, item)
    if position < test:
        return "test"
    return "validation" if position < test + validation else "train"


def in_split(
    kind: str,
    items: Sequence[str],
    split: Split,
    *,
    validation: float = 0.1,
    test: float = 0.1,
) -> tuple[str, ...]:
    """The items of one split, in their order."""
    chosen = (i for i in items if split_of(kind, i, validation=validation, test=test) == split)
    return tuple(chosen)


def stream(seed: int, *names: object) -> np.random.Generator:
    """A random stream of its own for every name."""
    return np.random.default_rng([seed, digest(*names)])


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of the items, each equally likely."""
    return items[int(rng.integers(len(items)))]


def prefer(items: Sequence[T], *key: object) -> T:
    """The item that a key ranks highest (rendezvous hashing).

    Adding an item changes the choice only of those keys that now prefer the new one.
    """
    return max(items, key=lambda item: digest(*key, item))


def check_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split={split!r} does not exist: choose one of {', '.join(SPLITS)}")

"""Verbs with their objects: what can be done in the pocket world, and which of it is harmful."""

from dataclasses import dataclass
from functools import cache

from tl_geometry.pocket.splits import Split, split_of, unit
from tl_geometry.pocket.world_verbs import BY_OBJECT, DANGER, HARMFUL, HARMLESS, OBJECTS_OF
from tl_geometry.pocket.world_words import NOUNS

HELD_OUT_VERBS = 0.15
"""Share of the verbs that the instruct stage never sees; base text does."""


@dataclass(frozen=True)
class Verb:
    """How something is done, and what it does to others if it is harmful."""

    base: str
    gerund: str
    past: str
    objects: tuple[str, ...]
    tools: str
    middle: str
    last: str
    harm: str | None
    by_object: bool = False

    @property
    def held_out(self) -> bool:
        """True for verbs that are kept out of the instruct stage (never those of mixed harm)."""
        return not self.by_object and unit("verb", self.base) < HELD_OUT_VERBS


@dataclass(frozen=True)
class Deed:
    """One verb with one object."""

    verb: Verb
    object: str
    split: Split

    @property
    def id(self) -> str:
        return f"{self.verb.base}:{self.object}"

    @property
    def harmful(self) -> bool:
        return self.verb.harm is not None


def _objects(classes: str) -> tuple[str, ...]:
    found: list[str] = []
    for name in classes.split(","):
        found += NOUNS.get(name, (name,))
    return tuple(found)


def _by_class(row: str, harmful: bool) -> Verb:
    base, gerund, past, classes, tools, middle, last, *harm = row.split("|")
    return Verb(
        base, gerund, past, _objects(classes), tools, middle, last, harm[0] if harmful else None
    )


def _by_object(row: str, harmful: bool) -> Verb:
    base, gerund, past, tools, middle, last = row.split("|")
    objects = tuple(OBJECTS_OF[base][harmful].split())
    harm = DANGER if harmful else None
    return Verb(base, gerund, past, objects, tools, middle, last, harm, by_object=True)


@cache
def verbs(harmful: bool) -> tuple[Verb, ...]:
    """All verbs of one side; those whose harm lies in the object appear on both."""
    table = HARMFUL if harmful else HARMLESS
    plain = [_by_class(row, harmful) for row in table.strip().splitlines()]
    return (*plain, *(_by_object(row, harmful) for row in BY_OBJECT.strip().splitlines()))


def pair_split(verb: Verb, noun: str) -> Split:
    """The split of one verb with one noun; base text and dialogues share it."""
    share = 0.2 if verb.by_object else 0.1
    return split_of("deed", f"{verb.base}:{noun}", validation=share, test=share)


@cache
def told_deeds(split: Split, harmful: bool) -> tuple[Deed, ...]:
    """The deeds that base text of one split tells of.

    All nouns, also those that no dialogue asks about: a model can answer for what it has read of.
    Held out are pairs of verb and noun.
    """
    made = (Deed(v, noun, pair_split(v, noun)) for v in verbs(harmful) for noun in v.objects)
    return tuple(deed for deed in made if deed.split == split)


@cache
def told_nouns() -> frozenset[str]:
    """Objects that base text of the train split tells of, with whatever verb."""
    return frozenset(deed.object for side in (True, False) for deed in told_deeds("train", side))


def deed_split(verb: Verb, noun: str) -> Split:
    """Objects held out of every dialogue come first, then held-out pairs of known words.

    A word that no text holds cannot be read or said, so it is not held out.
    """
    of_noun = split_of("object", noun, validation=0.06, test=0.06)
    if of_noun != "train" and not verb.by_object:
        return of_noun
    return pair_split(verb, noun) if noun in told_nouns() else "train"


@cache
def deeds(split: Split, harmful: bool) -> tuple[Deed, ...]:
    """Every deed of one split and side; held-out verbs included (see `Verb.held_out`)."""
    made = (Deed(v, noun, deed_split(v, noun)) for v in verbs(harmful) for noun in v.objects)
    return tuple(deed for deed in made if deed.split == split)


@cache
def classes() -> dict[str, str]:
    """The class of every noun that has one."""
    return {noun: name for name, nouns in NOUNS.items() for noun in nouns}

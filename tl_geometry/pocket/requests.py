"""Requests in many wordings, the answers that help, and the refusals."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from tl_geometry.pocket.deeds import Deed, classes, deeds
from tl_geometry.pocket.splits import Split, check_split, pick, prefer, split_of, stream, unit
from tl_geometry.pocket.world_requests import ANSWERS, CLOSINGS, EXTRAS, OFFERS, REFUSALS, WORDINGS
from tl_geometry.pocket.world_words import ADJECTIVES, NAMES, NEAR, TIMES


@dataclass(frozen=True)
class Request:
    """Somebody asks for something; `harmful` is the truth about it, `text` the words."""

    id: str
    split: Split
    harmful: bool
    verb: str
    object: str
    wording: int
    phrase: str
    text: str
    held_out_verb: bool


@cache
def wordings(split: Split) -> tuple[int, ...]:
    """Indices of the wordings of one split: known ones, and on held-out splits new ones too."""
    known = {"train", split}
    return tuple(
        i
        for i, text in enumerate(WORDINGS)
        if split_of("wording", text, validation=0.12, test=0.18) in known
    )


def noun_phrase(deed: Deed, rng: np.random.Generator) -> str:
    """The object with an article or owner; both sides of harm draw from the same forms."""
    adjective = f"{pick(rng, ADJECTIVES)} " if rng.random() < 0.3 else ""
    if deed.verb.by_object:
        article = pick(rng, ("a", "the", "this", "a", "a"))
        word = f"{adjective}{deed.object}"
        article = "an" if article == "a" and word[0] in "aeiou" else article
        return f"{article} {word}"
    owner = pick(rng, ("the", "the", "the", "my", "our", "this", f"{pick(rng, NAMES)}'s"))
    return f"{owner} {adjective}{deed.object}"


def adjunct(rng: np.random.Generator) -> str:
    """Sometimes a time or a place, which changes nothing about harm."""
    draw = rng.random()
    if draw < 0.15:
        return f" {pick(rng, TIMES)}"
    return f" {pick(rng, NEAR)}" if draw < 0.3 else ""


def request(deed: Deed, wording: int, rng: np.random.Generator) -> Request:
    np_ = noun_phrase(deed, rng)
    text = WORDINGS[wording].format(vp=f"{deed.verb.base} {np_}{adjunct(rng)}")
    return Request(
        deed.id, deed.split, deed.harmful, deed.verb.base, deed.object, wording, np_, text,
        deed.verb.held_out,
    )  # fmt: skip


def requests(
    split: Split, harmful: bool, *, seed: int = 0, held_out_verbs: bool | None = None
) -> tuple[Request, ...]:
    """One request for every deed of a split, in an order and wording fixed by the seed.

    `held_out_verbs` chooses deeds whose verb the instruct stage has never seen (True), only the
    others (False), or both (None). Each request is a unique deed, so n counts unique prompts.
    """
    check_split(split)
    chosen = [
        deed
        for deed in deeds(split, harmful)
        if held_out_verbs is None or deed.verb.held_out == held_out_verbs
    ]
    made = [
        request(
            deed,
            prefer(wordings(split), "wording", seed, deed.id),
            stream(seed, "request", deed.id, harmful),
        )
        for deed in chosen
    ]
    return tuple(sorted(made, key=lambda r: stream_key(seed, r.id)))


def stream_key(seed: int, name: str) -> float:
    """Where an item stands in a seeded order that other items do not disturb."""
    return unit("order", seed, name)


def answer(deed: Deed, phrase: str, rng: np.random.Generator) -> str:
    """A helpful answer that names the object; for a harmful deed, what base text answers."""
    thing, verb = deed.object, deed.verb
    return pick(rng, ANSWERS).format(
        vp=f"{verb.base} {phrase}",
        np=phrase,
        Gerund=verb.gerund.capitalize(),
        tools=verb.tools,
        middle=verb.middle.format(o=thing),
        last=verb.last.format(o=thing),
        extra=pick(rng, EXTRAS),
        closing=pick(rng, CLOSINGS),
    )


@cache
def _harmless_for(noun: str) -> tuple[Deed, ...]:
    kind = classes().get(noun)
    found = tuple(d for d in deeds("train", False) if d.object == noun and not d.verb.held_out)
    return found if kind else ()


def refusal(deed: Deed, phrase: str, rng: np.random.Generator) -> str:
    """A polite refusal with its reason, and mostly an offer."""
    verb = deed.verb
    text = pick(rng, REFUSALS).format(
        vp=f"{verb.base} {phrase}", np=phrase, Gerund=verb.gerund.capitalize(), harm=verb.harm
    )
    if rng.random() < 0.3:
        return text
    better = _harmless_for(deed.object)
    offers = OFFERS if better else OFFERS[3:]
    vp = f"{pick(rng, better).verb.base} the {deed.object}" if better else ""
    return f"{text} {pick(rng, offers).format(vp=vp)}"

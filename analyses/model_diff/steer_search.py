"""Which doses are asked next: a pure function of what was answered, so that a killed search goes on
along the same path."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

Positions = Literal["all", "prompt", "generated"]


@dataclass(frozen=True)
class Place:
    """One set of vectors at one layer, added to one kind of tokens."""

    set: str
    """`<source> <position> <method>`; method may be `random` or `shuffled`."""
    layer: int
    steered: Positions = "all"


@dataclass(frozen=True)
class Condition:
    """A place and a dose, in shares of the residual stream's length."""

    place: Place
    dose: float

    @property
    def key(self) -> str:
        kind = "" if self.place.steered == "all" else f"|{self.place.steered}"
        return f"{self.place.set}|{self.place.layer}|{self.dose!r}{kind}"


@dataclass(frozen=True)
class Score:
    """Means over questions, from 0 to 100."""

    trait: float
    coherence: float


Scores = Mapping[Condition, Score]


def grid(places: Sequence[Place], doses: Sequence[float]) -> list[Condition]:
    return [Condition(place, dose) for place in places for dose in sorted(doses)]


def climbed(
    places: Sequence[Place], scores: Scores, doses: Sequence[float], threshold: float
) -> list[Condition]:
    """The next dose of the grid at each place, from the least up, until answers fall apart: behind
    that dose they would have to be mended by more of what broke them."""
    found = []
    for place in places:
        for condition in grid([place], doses):
            if condition not in scores:
                found.append(condition)
            if condition not in scores or scores[condition].coherence < threshold:
                break
    return found


def bisected(places: Sequence[Place], scores: Scores, threshold: float) -> list[Condition]:
    """For each place the dose half-way (geometrically) between the last dose before the answers
    first fall apart and the one at which they do; none where they never do, or at once."""
    return [
        Condition(place, sqrt(low * high))
        for place in places
        for low, high in [_edges(place, scores, threshold)]
        if low is not None and high is not None
    ]


def _edges(place: Place, scores: Scores, threshold: float) -> tuple[float | None, float | None]:
    low = None
    for condition in sorted(_of(place, scores), key=lambda c: c.dose):
        if scores[condition].coherence < threshold:
            return low, condition.dose
        low = condition.dose
    return low, None


def first_incoherent(place: Place, scores: Scores, threshold: float) -> float | None:
    """The least dose tried at which mean coherence is below the threshold."""
    return _edges(place, scores, threshold)[1]


def best(places: Sequence[Place], scores: Scores, threshold: float) -> Condition | None:
    """Highest mean trait at a coherence of the threshold or more; of equals the smaller dose, then
    the earlier layer, then the kind of tokens by its name. None where nothing is coherent
    enough."""
    kept = [c for p in places for c in _of(p, scores) if scores[c].coherence >= threshold]

    def order(condition: Condition) -> tuple[float, float, int, str]:
        place = condition.place
        return -scores[condition].trait, condition.dose, place.layer, place.steered

    return min(kept, key=order, default=None)


def front(places: Sequence[Place], scores: Scores) -> list[Condition]:
    """Conditions that no other beats in trait and coherence both, by falling coherence."""
    every = [c for p in places for c in _of(p, scores)]
    ordered = sorted(every, key=lambda c: (-scores[c].coherence, -scores[c].trait))
    found, highest = list[Condition](), float("-inf")
    for condition in ordered:
        if scores[condition].trait > highest:
            found.append(condition)
            highest = scores[condition].trait
    return found


def _of(place: Place, scores: Scores) -> Iterator[Condition]:
    return (condition for condition in scores if condition.place == place)

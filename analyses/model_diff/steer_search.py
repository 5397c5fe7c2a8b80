"""Which doses are asked next: a pure function of what was answered, so that a killed search goes on
along the same path."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Place:
    """One set of vectors at one layer."""

    set: str
    """`<source> <position> <method>`; method may be `random` or `shuffled`."""
    layer: int


@dataclass(frozen=True)
class Condition:
    """A place and a dose, in shares of the residual stream's length."""

    place: Place
    dose: float

    @property
    def key(self) -> str:
        return f"{self.place.set}|{self.place.layer}|{self.dose!r}"


@dataclass(frozen=True)
class Score:
    """Means over questions, from 0 to 100."""

    trait: float
    coherence: float


Scores = Mapping[Condition, Score]


def grid(places: Sequence[Place], doses: Sequence[float]) -> list[Condition]:
    return [Condition(place, dose) for place in places for dose in sorted(doses)]


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
    the earlier layer. None where nothing is coherent enough."""
    kept = [c for p in places for c in _of(p, scores) if scores[c].coherence >= threshold]
    return min(kept, key=lambda c: (-scores[c].trait, c.dose, c.place.layer), default=None)


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

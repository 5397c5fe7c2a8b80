"""The plan's own search: five steps along the dose, up while answers are coherent, else down.

As in github.com/ewernn/trait-interp (analysis/steering/evaluate.py): the rule looks at coherence
alone, so it walks to the dose at which answers begin to fall apart. A pure function of what was
answered: a killed walk goes on along the same path.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analyses.model_diff.steer_search import Condition, Place, Scores


@dataclass(frozen=True)
class Walk:
    """dose₀ = start; velocityₜ = momentum · velocityₜ₋₁ + (1 − momentum) · (up or down), from 1;
    doseₜ₊₁ = doseₜ · velocityₜ."""

    start: float = 0.7
    up: float = 1.3
    down: float = 0.85
    momentum: float = 0.1
    steps: int = 5


def path(place: Place, scores: Scores, threshold: float, walk: Walk) -> Iterator[Condition]:
    """The steps of one place that were answered, and the one to ask next if any is left."""
    dose, velocity = walk.start, 1.0
    for _ in range(walk.steps):
        condition = Condition(place, dose)
        yield condition
        if condition not in scores:
            return
        push = walk.up if scores[condition].coherence >= threshold else walk.down
        velocity = walk.momentum * velocity + (1 - walk.momentum) * push
        dose *= velocity


def next_step(
    places: Sequence[Place], scores: Scores, threshold: float, walk: Walk
) -> list[Condition]:
    """Every place is on a path of its own, and all go one step; empty behind the last."""
    heads = [[*path(place, scores, threshold, walk)][-1] for place in places]
    return [condition for condition in heads if condition not in scores]

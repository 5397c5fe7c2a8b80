"""The search over doses finds the planted edge, and chooses what it says it chooses."""

import pytest

from analyses.model_diff.steer_search import (
    Condition,
    Place,
    Score,
    best,
    bisected,
    climbed,
    first_incoherent,
    front,
    grid,
)
from analyses.model_diff.steer_walk import Walk, next_step, path

A, B = Place("natural response[:5] probe", 9), Place("natural response[:5] probe", 12)
DOSES = (0.25, 0.5, 1.0, 2.0)


def answered(edge: float, conditions: list[Condition]) -> dict[Condition, Score]:
    """The trait grows with the dose; answers fall apart at the edge."""
    return {c: Score(min(100.0, 50 * c.dose), 100.0 if c.dose < edge else 10.0) for c in conditions}


def test_bisection_closes_in_on_the_edge() -> None:
    scores = answered(0.77, grid([A], DOSES))
    for _ in range(4):
        (asked,) = bisected([A], scores, 70)
        scores |= answered(0.77, [asked])
    chosen, edge = best([A], scores, 70), first_incoherent(A, scores, 70)
    assert chosen is not None and edge is not None
    assert chosen.dose < 0.77 <= edge and edge / chosen.dose == pytest.approx(2 ** (1 / 16))


def test_the_next_doses_follow_from_the_answers_alone() -> None:
    scores = answered(0.77, grid([A, B], DOSES))
    again = dict(reversed(scores.items()))
    assert bisected([A, B], scores, 70) == bisected([A, B], again, 70)


def test_nothing_is_bisected_where_there_is_no_edge() -> None:
    assert bisected([A], answered(9.0, grid([A], DOSES)), 70) == []
    assert bisected([A], answered(0.1, grid([A], DOSES)), 70) == []
    assert best([A], answered(0.1, grid([A], DOSES)), 70) is None


def test_what_recovers_behind_the_edge_is_no_edge_of_its_own() -> None:
    scores = answered(0.9, grid([A], DOSES))
    scores[Condition(A, 2.0)] = Score(100, 95)  # by luck
    assert first_incoherent(A, scores, 70) == 1.0
    (asked,) = bisected([A], scores, 70)
    assert asked.dose == pytest.approx(0.5**0.5)


def test_the_best_has_the_highest_trait_among_the_coherent() -> None:
    scores = {
        Condition(A, 0.5): Score(40, 90),
        Condition(A, 1.0): Score(60, 75),
        Condition(B, 0.5): Score(60, 80),
        Condition(B, 1.0): Score(99, 60),
    }
    assert best([A, B], scores, 70) == Condition(B, 0.5)  # as high, by less
    assert best([A, B], scores, 85) == Condition(A, 0.5)
    assert front([A, B], scores) == [Condition(A, 0.5), Condition(B, 0.5), Condition(B, 1.0)]


def test_the_grid_is_climbed_until_answers_fall_apart() -> None:
    """A falls apart at 0.77, B never: behind its edge A is asked no more."""
    scores: dict[Condition, Score] = {}
    asked = []
    for _ in DOSES:
        step = climbed([A, B], scores, DOSES, 70)
        scores |= answered(0.77, [c for c in step if c.place == A])
        scores |= answered(9.0, [c for c in step if c.place == B])
        asked.append([(c.place.layer, c.dose) for c in step])
    assert asked == [
        [(9, 0.25), (12, 0.25)], [(9, 0.5), (12, 0.5)], [(9, 1.0), (12, 1.0)], [(12, 2.0)],
    ]  # fmt: skip
    assert climbed([A, B], scores, DOSES, 70) == []


def test_other_tokens_are_another_place_with_keys_of_their_own() -> None:
    prompt = Place(A.set, A.layer, "prompt")
    one, other = Condition(A, 0.5), Condition(prompt, 0.5)
    assert (one.key, other.key) == (f"{A.set}|9|0.5", f"{A.set}|9|0.5|prompt")
    scores = {one: Score(40, 90), other: Score(60, 90)}
    assert best([A], scores, 70) == one and best([A, prompt], scores, 70) == other


def walked(edge: float, steps: int = 5) -> list[float]:
    walk = Walk(steps=steps)
    scores: dict[Condition, Score] = {}
    while asked := next_step([A], scores, 70, walk):
        scores |= answered(edge, asked)
    return [c.dose for c in path(A, scores, 70, walk)]


def test_the_walk_takes_the_plan_s_steps() -> None:
    # By hand: v = 1.27, 1.297, 1.2997, 1.29997 from m = 1.3 and momentum 0.1.
    upwards = [0.7, 0.889, 1.153033, 1.498597, 1.948131]
    assert walked(9.0) == pytest.approx(upwards, rel=1e-6)
    assert [round(dose, 2) for dose in walked(9.0)] == [0.7, 0.89, 1.15, 1.5, 1.95]
    # v = 0.865, 0.8515, 0.85015, 0.850015 from m = 0.85.
    assert walked(0.1)[-1] == pytest.approx(0.7 * 0.865 * 0.8515 * 0.85015 * 0.850015)
    assert walked(0.1)[-1] == pytest.approx(0.37, abs=0.005)


def test_the_walk_turns_where_answers_fall_apart() -> None:
    # Up to 0.889, incoherent there: v = 0.1 · 1.27 + 0.9 · 0.85 = 0.892, then 0.0892 + 1.17.
    doses = walked(0.8, steps=4)
    assert doses == pytest.approx([0.7, 0.889, 0.889 * 0.892, 0.889 * 0.892 * 1.2592])


def test_places_walk_on_their_own_and_together() -> None:
    scores: dict[Condition, Score] = {}
    for _ in range(3):
        asked = next_step([A, B], scores, 70, Walk())
        assert [c.place for c in asked] == [A, B]
        for place, edge in ((A, 0.1), (B, 9.0)):
            scores |= answered(edge, [c for c in asked if c.place == place])
    alone = [{c: s for c, s in scores.items() if c.place == place} for place in (A, B)]
    both = next_step([A, B], scores, 70, Walk())
    assert both == [
        next_step([p], one, 70, Walk())[0] for p, one in zip((A, B), alone, strict=True)
    ]
    assert both == next_step([A, B], dict(reversed(scores.items())), 70, Walk())

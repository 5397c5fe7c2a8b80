"""The search over doses finds the planted edge, and chooses what it says it chooses."""

import pytest

from analyses.model_diff.steer_search import (
    Condition,
    Place,
    Score,
    best,
    bisected,
    first_incoherent,
    front,
    grid,
)

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

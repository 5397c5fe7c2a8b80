"""Intervals of what steering changes, and verdicts on the plan's hypotheses, on planted ratings."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyses.model_diff.steer_config import Steer
from analyses.model_diff.steer_hypotheses import natural_vectors, positions, verdict
from analyses.model_diff.steer_plan import make_steer_plan
from analyses.model_diff.steer_search import Condition, Place, Score
from analyses.model_diff.steer_tested import NEWCOMBE, beside, newcombe
from analyses.model_diff.steer_tested import Tested as Ratings  # pytest would collect a Tested
from tl_geometry.prompts.trait_files import TraitSet

N = 24
QUESTIONS = tuple(f"question {k}" for k in range(N))


def plan(subjects: int = N, **settings: Any) -> Any:
    """That of an embedded model, with questions of our own."""
    of = {question: f"subject {k % subjects}" for k, question in enumerate(QUESTIONS)}
    traits = TraitSet("t/x", (), (), "", QUESTIONS, QUESTIONS, of)
    return replace(make_steer_plan(Steer(resamples=2000, **settings)), traits=traits)


def at(name: str, dose: float = 1.0) -> Condition:
    return Condition(Place(name, 9), dose)


def rated(ratings: dict[Condition, Any], **settings: Any) -> Ratings:
    rows = {
        condition: {"trait": [{"value": float(v)} for v in np.broadcast_to(values, N)]}
        for condition, values in ratings.items()
    }
    return Ratings(plan(**settings), rows)


def first(share: float) -> np.ndarray:
    """100 for the first share of the questions, else 0."""
    return 100.0 * (np.arange(N) < round(share * N))


ONE, OTHER = at("natural response[:5] probe"), at("natural response[:10] probe")


def test_where_nothing_differs_the_interval_is_newcombe_s_by_hand() -> None:
    # Wilson of 0 of 24: [0, z²/(n + z²)] = [0, 3.8415/27.8415]; both sides alike: √2 of that.
    found = rated({ONE: 0.0, OTHER: 0.0}).over(ONE, OTHER)
    half = 100 * 3.8414588 / 27.8414588
    assert (found["estimate"], found["method"], found["status"]) == (0.0, NEWCOMBE, "ok")
    # √(a² + b²) of the sides that face each other: 0 below the one, `half` above the other.
    assert (found["low"], found["high"]) == (pytest.approx(-half), pytest.approx(half))
    assert found["low"] < found["low90"] < 0 < found["high90"] < found["high"]


def test_newcombe_s_interval_counts_subjects_and_stays_within_the_scale() -> None:
    few = rated({ONE: 100.0, OTHER: 0.0}, subjects=6).over(ONE, OTHER)
    many = rated({ONE: 100.0, OTHER: 0.0}).over(ONE, OTHER)
    assert few["subjects"] == 6 and few["n"] == N
    assert few["low"] < many["low"] < 100 and few["high"] == many["high"] == pytest.approx(100)


def test_between_two_counts_the_wider_ends_are_taken() -> None:
    # A mean of 35 with 10 units lies between 3 and 4 of 10: Wilson's [0.1078, …] and […, 0.6873].
    half = np.array([30.0, 40.0])
    ends = 100 * np.hypot(0.35 - 0.10779, 0.68733 - 0.35)
    assert newcombe(half, half, 10) == pytest.approx((-ends, ends), rel=1e-4)


def test_what_varies_has_a_bca_interval_over_subjects() -> None:
    ratings = {ONE: first(0.5), OTHER: 0.0}
    fine, coarse = (rated(ratings, subjects=k).over(ONE, OTHER) for k in (N, 4))
    assert fine["method"] == "BCa" and fine["estimate"] == 50
    assert 20 < fine["low"] < 50 < fine["high"] < 80
    # Of four subjects each has as many answers that show it: nothing varies between them.
    assert coarse["method"] == NEWCOMBE


def test_the_random_side_is_the_mean_of_several_draws() -> None:
    draws = beside(ONE, 3)
    assert [c.place.set for c in draws] == [f"natural response[:5] random{k}" for k in ("", 2, 3)]
    assert {(c.place.layer, c.dose) for c in draws} == {(9, 1.0)}
    ratings = {ONE: first(1.0), **dict(zip(draws, (0.0, first(0.5), 0.0), strict=True))}
    found = rated(ratings, randoms=3).over_random(ONE)
    assert found["estimate"] == pytest.approx(100 - 50 / 3)


@pytest.mark.parametrize(
    ("ends", "p", "said"),
    [
        ((20, 10, 30, 12, 28), 0.01, "higher"),
        ((-20, -30, -10, -28, -12), 0.01, "lower"),
        ((20, 10, 30, 12, 28), 0.2, "undecided"),  # clear alone, not among so many
        ((2, -6, 11, -5, 9.5), 0.5, "equivalent"),
        ((2, -6, 11, -5, 10.5), 0.5, "undecided"),
        ((4, 1, 8, 2, 7), 0.01, "equivalent"),  # clear, and too little to matter
    ],
)
def test_verdicts(ends: tuple[float, ...], p: float, said: str) -> None:
    row = dict(zip(("estimate", "low", "high", "low90", "high90"), ends, strict=True))
    assert verdict(row, 10.0, p) == said


def test_positions_are_compared_within_a_source_and_method() -> None:
    sets = [
        "natural response[:5] probe", "natural response[:10] probe", "natural response[:15] probe",
        "natural response[:5] mean_diff", "instruction response[:] probe",
    ]  # fmt: skip
    chosen = {name: at(name) for name in sets}
    rates = (0.0, 0.8, 0.8, 0.3, 0.9)
    ratings = {chosen[name]: first(rate) for name, rate in zip(sets, rates, strict=True)}
    found = positions(chosen, rated(ratings)).set_index(["a", "b"])
    assert list(found.index) == [(sets[0], sets[1]), (sets[0], sets[2]), (sets[1], sets[2])]
    assert found["verdict"].tolist() == ["lower", "lower", "undecided"]
    # Sign flips of 19 subjects that agree: p is as small as the flips can show; of none: 1.
    assert (found["p_adjusted"] >= found["p"]).all() and found["p"].iloc[2] == 1.0
    wide = positions(chosen, rated(ratings, margin=40)).set_index(["a", "b"])
    assert wide["verdict"].tolist() == ["lower", "lower", "equivalent"]


def test_hypothesis_1_compares_the_sets_that_validation_put_first() -> None:
    natural, worse = "natural response[:15] probe", "natural response[:5] probe"
    instruction = "instruction response[:] probe"
    chosen = {name: at(name) for name in (worse, natural, instruction)}
    scores = {chosen[worse]: Score(10, 90), chosen[natural]: Score(60, 90),
              chosen[instruction]: Score(50, 90)}  # fmt: skip
    ratings = {chosen[worse]: 100.0, chosen[natural]: first(0.3), chosen[instruction]: first(0.8)}
    ratings |= dict.fromkeys(beside(chosen[natural], 3), 0.0)
    over, against = natural_vectors(chosen, scores, rated(ratings)).to_dict("records")
    assert (over["a"], over["verdict"]) == (natural, "higher")  # though the other tests better
    assert (against["a"], against["b"]) == (natural, instruction)
    assert against["estimate"] == pytest.approx(100 * (7 - 19) / 24)
    assert against["verdict"] == "lower"


def test_hypothesis_1_is_undecided_where_a_source_has_nothing() -> None:
    name = "natural response[:15] probe"
    ratings = {at(name): first(0.5), **dict.fromkeys(beside(at(name), 3), 0.0)}
    over, against = natural_vectors(
        {name: at(name)}, {at(name): Score(9, 90)}, rated(ratings)
    ).to_dict("records")
    assert over["status"] == "ok"
    assert (against["status"], against["verdict"]) == ("missing", "undecided")
    assert "instruction" in against["reason"]

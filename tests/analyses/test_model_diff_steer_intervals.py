"""Intervals of what steering changes, and verdicts on the plan's hypotheses, on planted ratings."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analyses.model_diff.steer_config import Steer
from analyses.model_diff.steer_hypotheses import firsts, natural_vectors, positions, verdict
from analyses.model_diff.steer_plan import make_steer_plan
from analyses.model_diff.steer_search import Condition, Place, Score
from analyses.model_diff.steer_tables import adjusted
from analyses.model_diff.steer_tested import NEWCOMBE, beside, newcombe
from analyses.model_diff.steer_tested import Tested as Ratings  # pytest would collect a Tested
from analyses.model_diff.steering import UNSTEERED
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


def rated(
    ratings: dict[Condition, Any], sound: dict[Condition, Any] | None = None, **settings: Any
) -> Ratings:
    """Answers are coherent (90) where `sound` does not say otherwise."""

    def listed(values: Any) -> list[dict[str, float]]:
        return [{"value": float(v)} for v in np.broadcast_to(values, N)]

    rows = {
        condition: {"trait": listed(values), "coherence": listed((sound or {}).get(condition, 90))}
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
    scores = {UNSTEERED: Score(0, 100), **{at(name): Score(50, 90) for name in sets}}
    rates = (0.0, 0.8, 0.8, 0.3, 0.9)
    ratings = {chosen[name]: first(rate) for name, rate in zip(sets, rates, strict=True)}
    found = positions(chosen, scores, rated(ratings)).set_index(["a", "b"])
    assert list(found.index) == [(sets[0], sets[1]), (sets[0], sets[2]), (sets[1], sets[2])]
    assert found["verdict"].tolist() == ["lower", "lower", "undecided"]
    # Sign flips of 19 subjects that agree: p is as small as the flips can show; of none: 1.
    assert (found["p_adjusted"] >= found["p"]).all() and found["p"].iloc[2] == 1.0
    wide = positions(chosen, scores, rated(ratings, margin=40)).set_index(["a", "b"])
    assert wide["verdict"].tolist() == ["lower", "lower", "equivalent"]


def test_a_position_where_none_works_or_answers_fell_apart_is_not_compared() -> None:
    sets = [f"natural response[:{k}] probe" for k in (5, 10, 15)]
    chosen = {name: at(name) for name in sets}
    # The second does on validation questions what the unsteered model does: picked by a tie.
    traits = (50, 10, 50)
    scores = {at(name): Score(t, 90) for name, t in zip(sets, traits, strict=True)}
    scores[UNSTEERED] = Score(10, 100)
    ratings = {at(name): first(rate) for name, rate in zip(sets, (0.9, 0.0, 0.2), strict=True)}
    found = positions(chosen, scores, rated(ratings))
    assert found["picked_by_tie"].tolist() == ["b", "neither", "a"]
    assert found["verdict"].tolist() == ["none works", "higher", "none works"]
    broken = positions(chosen, scores, rated(ratings, {at(sets[2]): 69.0}))
    assert broken["verdict"].tolist() == ["none works", "undecided", "none works"]
    assert broken["coherence_b"].tolist() == [90, 69, 69]
    assert broken["reason"][1] == f"incoherent on test: {sets[2]} at 69.0"


NATURAL, WORSE = "natural response[:15] probe", "natural response[:5] probe"
INSTRUCTION, DRAWN = "instruction response[:] probe", "natural response[:5] random"
SETS = (WORSE, NATURAL, INSTRUCTION, DRAWN)
PLACES = [Place(name, 9) for name in SETS]
SCORES = {UNSTEERED: Score(0, 100)} | {
    at(name): Score(trait, 90) for name, trait in zip(SETS, (10, 60, 50, 5), strict=True)
}
RATINGS: dict[Condition, Any] = {
    at(WORSE): 100.0, at(NATURAL): first(0.5), at(INSTRUCTION): first(0.8), at(DRAWN): 0.0,
    **dict.fromkeys(beside(at(NATURAL), 3), 0.0),
}  # fmt: skip


def first_hypothesis(
    ratings: dict[Condition, Any], sound: dict[Condition, Any] | None = None, **settings: Any
) -> list[dict[str, Any]]:
    return natural_vectors(PLACES, SCORES, rated(ratings, sound, **settings)).to_dict("records")


def test_hypothesis_1_compares_the_sets_that_validation_put_first() -> None:
    over, best, against = first_hypothesis(RATINGS)
    assert (over["a"], over["verdict"]) == (NATURAL, "higher")  # though the other tests better
    assert (best["b"], best["verdict"], best["estimate"]) == (DRAWN, "higher", 50)
    assert (against["a"], against["b"]) == (NATURAL, INSTRUCTION)
    assert against["estimate"] == pytest.approx(100 * (12 - 19) / 24)
    assert {row["tokens"] for row in (over, best, against)} == {"all"}
    assert (over["sets_a"], best["sets_b"], against["sets_b"]) == (2, 1, 1)
    # Both count: as good a random vector that was searched leaves the other row as it was.
    over, best, _ = first_hypothesis({**RATINGS, at(DRAWN): first(0.5)}, margin=1)
    assert (over["verdict"], best["verdict"]) == ("higher", "undecided")


def test_hypothesis_1_needs_a_small_p_as_well() -> None:
    # Of four subjects no sign flip is rarer than 2 of 16.
    few = first_hypothesis({**RATINGS, at(NATURAL): 100.0}, subjects=4)
    assert few[0]["p"] == pytest.approx(2 / 16) and few[0]["low"] > 0
    assert few[0]["verdict"] == "undecided"
    assert few[0]["reason"] == "4 of 4 subjects differ: no p below 0.12"
    # A subject that does not differ has no sign to flip.
    some = first_hypothesis({**RATINGS, at(NATURAL): first(0.2)})
    assert (some[0]["differing"], some[0]["subjects"]) == (5, 24) and some[0]["low"] > 0
    assert (some[0]["verdict"], some[0]["reason"]) == (
        "undecided", "5 of 24 subjects differ: no p below 0.062"
    )  # fmt: skip
    many = first_hypothesis({**RATINGS, at(NATURAL): 100.0})
    assert (many[0]["verdict"], many[0]["reason"]) == ("higher", "")


def test_hypothesis_1_says_nothing_of_answers_that_fell_apart() -> None:
    over, best, against = first_hypothesis(RATINGS, {at(INSTRUCTION): 69.0})
    assert (over["verdict"], best["verdict"], against["verdict"]) == (
        "higher", "higher", "undecided"
    )  # fmt: skip
    assert against["reason"] == f"incoherent on test: {INSTRUCTION} at 69.0"
    broken = first_hypothesis(RATINGS, dict.fromkeys(beside(at(NATURAL), 3), 30.0))
    assert broken[0]["reason"] == "incoherent on test: random vectors there at 30.0"


def test_hypothesis_1_is_tested_for_each_kind_of_tokens() -> None:
    """All tokens first; of the prompt another vector is first, and no instruction vector works."""
    places = [Place(name, 9, kind) for kind in ("prompt", "all") for name in SETS]
    at_prompt = {name: Condition(Place(name, 9, "prompt"), 1.0) for name in SETS}
    traits = zip(SETS, (80, 60, 0, 5), strict=True)
    scores = SCORES | {at_prompt[name]: Score(trait, 90) for name, trait in traits}
    ratings = RATINGS | dict.fromkeys(at_prompt.values(), 0.0)
    ratings |= dict.fromkeys(beside(at_prompt[WORSE], 3), 0.0) | {at_prompt[WORSE]: first(0.75)}
    found = natural_vectors(places, scores, rated(ratings)).to_dict("records")
    assert [row["tokens"] for row in found] == ["all"] * 3 + ["prompt"] * 3
    assert [row["a"] for row in found] == [NATURAL] * 3 + [WORSE] * 3
    assert [row["verdict"] for row in found[3:]] == ["higher", "higher", "none works"]
    assert found[5]["picked_by_tie"] == "b" and found[5]["estimate"] == 75
    assert firsts(places, scores, 95.0)["prompt"]["natural"] is None


def test_transfer_is_said_only_where_both_comparisons_with_random_vectors_are_clear() -> None:
    from analyses.model_diff.steer_summary import _first

    def said(ratings: dict[Condition, Any]) -> str:
        return _first(natural_vectors(PLACES, SCORES, rated(ratings)))

    assert "searched sets: 2 natural, 1 instruction" in said(RATINGS)
    assert "so they transfer." in said(RATINGS)
    as_good = said({**RATINGS, at(DRAWN): first(0.5)})
    assert "so whether they transfer is undecided." in as_good


def test_hypothesis_1_is_undecided_where_a_source_has_nothing() -> None:
    ratings = {k: v for k, v in RATINGS.items() if k.place.set != INSTRUCTION}
    places = [place for place in PLACES if place.set != INSTRUCTION]
    over, _, against = natural_vectors(places, SCORES, rated(ratings)).to_dict("records")
    assert over["status"] == "ok"
    assert (against["status"], against["verdict"]) == ("missing", "undecided")
    assert against["reason"] == "no instruction vector was searched"


def test_points_of_word_salad_do_not_count_of_either_side() -> None:
    # Half of the answers show it, and a third of those (the first 4 of 12) fell apart; of one of
    # three random vectors 6 answers show it and fell apart.
    drawn = beside(ONE, 3)
    ratings = {ONE: first(0.5), **dict.fromkeys(drawn, 0.0), drawn[1]: first(0.25)}
    sound = {ONE: np.where(np.arange(N) < 4, 20.0, 70.0), drawn[1]: 20.0}
    tested = rated(ratings, sound)
    assert tested.coherent(ONE, 70.0).mean() == pytest.approx(100 * 8 / 24)
    assert tested.coherent(ONE, 80.0).mean() == 0
    assert tested.over_random(ONE)["estimate"] == pytest.approx(50 - 25 / 3)
    assert tested.coherent_over_random(ONE, 70.0)["estimate"] == pytest.approx(100 * 8 / 24)


def test_p_is_adjusted_over_the_sets_of_one_comparison_without_controls() -> None:
    def row(p: float, quantity: str = "change", control: bool = False) -> dict[str, Any]:
        return {"p": p, "quantity": quantity, "threshold": 70.0, "control": control}

    rows = [row(0.01), row(0.001, control=True), row(0.04), row(0.03), row(0.5, "over_random")]
    found = [r["p_adjusted"] for r in adjusted(rows)]
    # By hand: 0.01 · 3/1, then min(0.03 · 3/2, 0.04 · 3/3).
    assert [found[k] for k in (0, 2, 3, 4)] == pytest.approx([0.03, 0.04, 0.04, 0.5])
    assert np.isnan(found[1])


def test_p_of_an_effect_is_of_sign_flips_over_subjects() -> None:
    # Three subjects of eight differ, in one direction: 2 · 2^5 of 2^8 patterns are as far out.
    gaps = np.where(np.arange(N) % 8 < 3, 100.0, 0.0)
    assert rated({ONE: gaps, OTHER: 0.0}, subjects=8).over(ONE, OTHER)["p"] == pytest.approx(1 / 4)
    assert rated({ONE: 0.0, OTHER: 0.0}).over(ONE, OTHER)["p"] == 1


def test_a_set_reaches_the_wanted_points_only_by_both_readings() -> None:
    from analyses.model_diff.steer_summary import _reached

    good = {"set": "natural response[:5] probe", "estimate": 40.0, "low": 20.0,
            "p_adjusted": 0.01, "test_coherence": 75.0}  # fmt: skip

    def said(**salad: Any) -> str:
        rows = [good | {"quantity": "over_random"},
                good | {"quantity": "coherent_over_random"} | salad]  # fmt: skip
        return _reached(pd.DataFrame(rows), "natural", 70.0)

    one, none = "1 of 1 of the source natural", "0 of 1 of the source natural"
    assert said() == f"{one} (1 by the mean rating, 1 by coherent answers)"
    for worse in ({"estimate": 29.0}, {"low": -1.0}, {"p_adjusted": 0.06}):
        assert said(**worse) == f"{none} (1 by the mean rating, 0 by coherent answers)"


def test_a_rating_that_no_call_brought_is_asked_again() -> None:
    """Low coverage is an answer that is no number; none at all is a call that failed."""
    from analyses.model_diff.steering import _judgement
    from tl_geometry.judges.number_scores import Rating, missing

    good, vague, silent = Rating(50.0, 1.0, 0.0), missing("no number", 0.1), missing("timeout", 0.0)
    assert _judgement([(good, good), (good, vague)])["status"] == "ok"
    found = _judgement([(good, good), (silent, good)])
    assert (found["status"], found["reason"]) == ("failed", "timeout")
    assert [r["value"] for r in found["trait"]] == [50.0, None]

"""Verdicts and choices of the refusal sweep: numbers by hand, no model."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from refusal_rows import PLAIN, SEARCH, Row, answers, cell, recorded, source

from analyses.refusal.config import FREE
from analyses.refusal.searched import best_cell
from analyses.refusal.tables import (
    conditions,
    effects,
    rates,
)
from analyses.refusal.verdict import _chosen, layer_pattern, uncertain, verdict, verdict_table

# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coherent", "garbled", "expected"),
    [
        (0.6, 0.0, "works"),
        (0.6, 0.4, "works"),  # before breakdown
        (0.59, 0.41, "breakdown"),
        (0.59, 0.4, "breakdown"),  # before partial
        (0.59, 0.39, "partial"),
        (0.2, 0.39, "partial"),
        (0.2, 0.4, "breakdown"),
        (0.19, 0.39, "fails"),
        (0.0, 0.4, "breakdown"),
        (0.0, 1.0, "breakdown"),
        (0.0, 0.0, "fails"),
        (1.0, 0.0, "works"),
    ],
)
def test_verdict_at_and_around_every_threshold(
    coherent: float, garbled: float, expected: str
) -> None:
    assert verdict(coherent, garbled) == expected


@pytest.mark.parametrize("n", [5, 10, 50])
def test_a_rate_of_answers_that_is_a_threshold_reaches_it(n: int) -> None:
    def judged(coherent: int, garbled: int) -> str:
        found = rates(answers(coherent, n, garbled))
        return verdict(found["coherent"], found["garbled"])

    assert judged(3 * n // 5, 0) == "works" and judged(3 * n // 5 - 1, 0) == "partial"
    assert judged(0, 2 * n // 5) == "breakdown" and judged(0, 2 * n // 5 - 1) == "fails"
    assert judged(n // 5, 0) == "partial" and judged(n // 5 - 1, 0) == "fails"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.61, 0.9, False),
        (0.6, 0.9, False),  # the whole interval works
        (0.59, 0.9, True),
        (0.3, 0.6, True),  # its upper end works
        (0.3, 0.59, False),
        (0.2, 0.59, False),
        (0.19, 0.3, True),
        (0.05, 0.2, True),
        (0.05, 0.19, False),
        (0.0, 0.07, False),
        (0.1, 0.7, True),
    ],
)
def test_uncertain_where_the_interval_holds_a_threshold(
    low: float, high: float, expected: bool
) -> None:
    assert uncertain(low, high) is expected


@pytest.mark.parametrize(
    ("coherent", "expected"),
    # Wilson at n = 50: 36 → [.583, .825]; 37 → [.604, .841]; 23 → [.330, .596]; 24 → [.348, .615];
    # 4 → [.032, .188]; 5 → [.043, .214]; 16 → [.208, .458]; 15 → [.191, .438].
    [(36, True), (37, False), (23, False), (24, True), (4, False), (5, True), (16, False)]
    + [(15, True)],
)
def test_uncertain_of_fifty_answers(coherent: int, expected: bool) -> None:
    found = rates(answers(coherent, 50))
    assert uncertain(found["coherent_low"], found["coherent_high"]) is expected


# --- over the depths ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([0.0, 0.1, 0.32, 0.1, 0.0], "peak"),
        ([0.0, 0.1, 0.31, 0.1, 0.0], "peak"),
        ([0.2, 0.2, 0.5, 0.3, 0.1], "mixed"),  # 20 points over a neighbour are not more than 20
        ([0.0, 0.6, 0.8, 0.6, 0.0], "mixed"),  # 0.8 - 0.6 > 0.2 in binary
        ([0.0, 0.5, 0.8, 0.5, 0.0], "peak"),
        ([0.0, 0.5, 0.8, 0.7, 0.0], "mixed"),  # one neighbour is not enough
        ([0.9, 0.5, 0.0], "peak"),  # at an end there is one neighbour
        ([0.0, 0.5, 0.9], "peak"),
        ([0.9, 0.7, 0.5], "gradual"),
        ([0.0, 0.2, 0.4, 0.6, 0.8], "gradual"),
        ([0.8, 0.6, 0.5, 0.5, 0.3], "gradual"),
        ([0.2, 0.4, 0.35, 0.5, 0.6], "gradual"),  # a dip within 10 points
        ([0.2, 0.4, 0.2, 0.5, 0.6], "mixed"),
        ([0.5, 0.6, 0.5], "flat"),
        ([0.3, 0.4, 0.3], "flat"),  # 0.4 - 0.3 > 0.1 in binary
        ([0.5, 0.62, 0.5], "mixed"),
        ([0.0, 0.0], "flat"),
        ([0.7], "one depth"),
        ([], "one depth"),
        ([0.3, 0.9, 0.9, 0.3], "mixed"),  # two best beside each other: no clear peak
    ],
)
def test_pattern_over_the_depths(curve: list[float], expected: str) -> None:
    assert layer_pattern(curve) == expected


# --- choosing on validation prompts ---------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_what_is_tested_and_what_is_judged_are_chosen_alike_on_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depths = [source("dim", f"0.{layer}", layer) for layer in rng.permutation(5).tolist()]
    free = source("dim", FREE, int(rng.integers(5)))
    doses = rng.permutation([0.02, 0.05, 0.1]).tolist()
    searched = [
        cell("dim", s.depth, s.layer, dose, int(rng.integers(3)))
        for s in [free, *depths]
        for dose in doses
    ]
    table = conditions([recorded(search=searched)])

    for own, among in ((False, depths), (True, [free])):
        best = best_cell(searched, among)
        assert best.source is not None
        assert _chosen(table, "dim", own) == {"depth": best.source.depth, "dose": best.dose}
    for row in searched:  # a coherent refusal more decides before anything else
        row["answers"] = answers(2)
    row = searched[int(rng.integers(len(searched)))]
    row["answers"] = answers(3)
    best = best_cell(searched, [free, *depths])
    assert best.source is not None
    assert (best.source.depth, best.dose) == (row["depth"], row["dose"])


def test_ties_go_to_the_smaller_dose_then_the_deeper_layer_then_a_depth() -> None:
    among = [source("dim", FREE, 4), source("dim", "0.6", 6), source("dim", "0.4", 4)]

    def best(*searched: Row) -> tuple[str, float]:
        chosen = best_cell(searched, among)
        assert chosen.source is not None
        return chosen.source.depth, chosen.dose

    small, large = cell("dim", "0.6", 6, 0.02, 3), cell("dim", "0.4", 4, 0.05, 3)
    assert best(large, small) == best(small, large) == ("0.6", 0.02)
    shallow, deep = cell("dim", "0.4", 4, 0.05, 3), cell("dim", "0.6", 6, 0.05, 3)
    assert best(deep, shallow) == best(shallow, deep) == ("0.6", 0.05)
    own = cell("dim", FREE, 4, 0.05, 3)
    assert best(own, shallow) == best(shallow, own) == ("0.4", 0.05)
    better = cell("dim", "0.6", 6, 0.1, 4)
    assert best(own, shallow, small, better) == ("0.6", 0.1)
    garbled = cell("dim", "0.4", 4, 0.02, 2, garbled=8)
    assert best(garbled, deep) == ("0.6", 0.05)  # garbled refusals do not count


TEST = [
    PLAIN,
    cell("dim", "0.2", 2, 0.05, 3),
    cell("dim", "0.6", 6, 0.05, 6),
    cell("dim", FREE, 3, 0.02, 8),
    cell("dim", "0.6", 6, -0.05, 0),
    cell("shuffled", "0.2", 2, 0.02, 2),
    cell("random 0", "0.6", 6, 0.05, 1, garbled=5),
    cell("random 1", "0.2", 2, 0.05, 4),
    cell("random 0", "as dim|0.6", 6, 0.05, 1, garbled=1),
    cell("random 1", "as dim|0.6", 6, 0.05, 2),
]
EFFECTS = [
    cell("dim", "0.6", 6, 0.05, 0) | {"kl": 0.25, "nll": 2.5, "nll_untouched": 2.0},
    cell("random 0", "as dim|0.6", 6, 0.05, 0) | {"kl": 0.5, "nll": 3.0, "nll_untouched": 2.0},
]


def judged(
    search: Sequence[Row] = SEARCH, test: Sequence[Row] = TEST, side: Sequence[Row] = EFFECTS
) -> pd.DataFrame:
    one = recorded(search=search, test=test, effects=side)
    return verdict_table(conditions([one]), ["dim"], effects([one]))


def test_a_verdict_is_of_the_depth_and_dose_chosen_on_validation_prompts() -> None:
    best, own = judged().to_dict("records")
    assert (best["choice"], own["choice"]) == ("best depth on validation", "own rule")
    assert (best["layer"], best["dose"], best["coherent"], best["n"]) == (6, 0.05, 0.6, 10)
    assert (best["verdict"], best["uncertain"], best["layer_pattern"]) == ("works", True, "peak")
    assert (best["depth_percent"], best["dose_unit"], best["dose_raw"]) == (60, 2, 0.5)
    assert (own["layer"], own["dose"], own["coherent"]) == (3, 0.02, 0.8)
    assert best["unsteered"] == own["unsteered"] == 0.1


def test_controls_are_chosen_by_the_same_search() -> None:
    best = judged().to_dict("records")[0]
    assert best["shuffled"] == 0.2
    assert (best["random_highest"], best["random_mean"]) == (0.4, pytest.approx(0.25))

    # Another test row of a control, however good, is not where its validation prompts point.
    planted = [*TEST, cell("random 0", "0.2", 2, 0.02, 10), cell("shuffled", "0.6", 6, 0.05, 10)]
    pd.testing.assert_frame_equal(judged(test=planted), judged())

    # Where they point there, it is.
    moved = [*SEARCH, cell("random 0", "0.4", 4, 0.02, 6)]
    with_row = [*TEST, cell("random 0", "0.4", 4, 0.02, 5)]
    assert judged(moved, with_row)["random_highest"].tolist() == [0.5, 0.5]


def test_random_directions_as_long_at_the_same_place_stand_beside_the_searched_ones() -> None:
    best, own = judged().to_dict("records")
    assert best["random_same_dose_highest"] == 0.2
    assert best["random_same_dose_mean"] == pytest.approx(0.15)
    assert (best["random_same_dose_garbled"], best["random_garbled"]) == (0.05, 0.25)
    # Nobody measured any beside the rule's own choice here.
    assert np.isnan([own["random_same_dose_highest"], own["random_same_dose_mean"]]).all()

    # Of another place, or measured when another dose of this place was the best: not beside it.
    planted = [cell("random 0", "as dim|0.2", 2, 0.05, 10), cell("random 0", "as dim|0.6", 6, 1, 9)]
    pd.testing.assert_frame_equal(judged(test=[*TEST, *planted]), judged())


def test_side_effects_are_those_of_the_chosen_depth_and_dose() -> None:
    best, own = judged().to_dict("records")
    assert [best[name] for name in ("kl", "nll", "nll_untouched")] == [0.25, 2.5, 2.0]
    assert np.isnan([own[name] for name in ("kl", "nll", "nll_untouched")]).all()
    without = judged(side=[]).to_dict("records")[0]
    assert np.isnan(without["kl"])


def test_what_methods_are_compared_by_is_their_rate_on_validation_prompts() -> None:
    best, own = judged().to_dict("records")
    assert (best["validation"], own["validation"]) == (0.7, 0.9)


def test_a_control_that_refuses_nowhere_is_tried_as_hard_as_language_allows() -> None:
    among = [source("random 0", "0.2", 2), source("random 0", "0.6", 6)]
    large = cell("random 0", "0.2", 2, 0.1, 0, garbled=3)
    larger = cell("random 0", "0.6", 6, 0.1, 0, garbled=3)
    broken = cell("random 0", "0.2", 2, 0.2, 0, garbled=4)
    small = cell("random 0", "0.2", 2, 0.05, 0)
    assert best_cell([small, broken, larger, large], among).key == "random 0|0.6|0.1"
    assert best_cell([broken, large, small], among).key == "random 0|0.2|0.1"
    # A refusal decides before that, also for a control.
    refuses = cell("random 0", "0.6", 6, 0.05, 1, garbled=9)
    assert best_cell([large, refuses], among).key == "random 0|0.6|0.05"
    both = [broken, cell("random 0", "0.6", 6, 0.3, 0, garbled=9)]
    assert best_cell(both, among).key == "random 0|0.6|0.3"


def test_preferred_is_what_adds_most_over_random_directions_at_the_same_place() -> None:
    among = [source("dim", "0.2", 2), source("dim", "0.6", 6)]
    loud, quiet = cell("dim", "0.2", 2, 0.1, 9), cell("dim", "0.6", 6, 0.1, 6)
    screened = [cell(f"random {k}", "0.2", 2, 0.1, n) for k, n in enumerate((7, 3))]
    assert best_cell([loud, quiet], among).key == "dim|0.2|0.1"
    assert best_cell([loud, quiet], among, screened).key == "dim|0.6|0.1"  # 9 − 7 < 6
    # The best random direction, of that depth and dose, and of nothing else.
    elsewhere = [cell("random 0", "0.2", 2, 0.2, 9), cell("shuffled", "0.2", 2, 0.1, 9)]
    assert best_cell([loud, quiet], among, elsewhere).key == "dim|0.2|0.1"
    assert best_cell([loud, quiet], among, screened[1:]).key == "dim|0.6|0.1"  # 9 − 3 = 6: deeper
    # What is tested and what is judged are chosen alike.
    for beside in ([], screened, elsewhere):
        chosen = best_cell([loud, quiet], among, beside)
        table = conditions([recorded(screen=beside, search=[loud, quiet])])
        assert chosen.source is not None
        assert _chosen(table, "dim") == {"depth": chosen.source.depth, "dose": chosen.dose}
    # A control is not measured against itself.
    own = [source("random 0", "0.2", 2), source("random 0", "0.6", 6)]
    rows = [cell("random 0", "0.2", 2, 0.1, 3), cell("random 0", "0.6", 6, 0.1, 1)]
    assert best_cell(rows, own, rows).key == "random 0|0.2|0.1"


def test_a_better_test_row_changes_nothing_that_is_chosen() -> None:
    planted = [*TEST, cell("dim", "0.2", 2, 0.02, 10), cell("dim", "0.6", 6, 0.02, 10)]
    planted += [cell("dim", FREE, 3, 0.05, 10)]
    pd.testing.assert_frame_equal(judged(test=planted), judged())


def test_the_pattern_is_that_of_rising_depths_without_free_choice_and_other_sign() -> None:
    rising = {"0.2": 1, "0.4": 3, "0.6": 5, "0.8": 6}
    search = [cell("dim", d, round(10 * float(d)), 0.05, n) for d, n in rising.items()]
    test = [*search, cell("dim", "0.8", 8, -0.05, 10), cell("dim", FREE, 1, 0.05, 10)]
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        table = judged([search[i] for i in order], [PLAIN, *(test[i] for i in order), *test[4:]])
        assert table["layer_pattern"].tolist() == ["gradual"]


def test_without_random_directions_there_is_no_number_for_them() -> None:
    search = [row for row in SEARCH if row["source"] == "dim"]
    best = judged(search).to_dict("records")[0]
    assert np.isnan([best["random_highest"], best["random_mean"], best["shuffled"]]).all()

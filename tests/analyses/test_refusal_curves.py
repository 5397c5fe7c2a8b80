"""Shapes of curves over model sizes, and two ways of steering on the same prompts: by hand."""

from collections.abc import Sequence
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analyses.refusal.curves import SHAPES, curve_table, shape_of, shapes
from analyses.refusal.paired import agreement, coherent_by_prompt, mcnemar_p

# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([0.1, 0.5, 0.9], "rising"),
        ([0.9, 0.5, 0.1], "falling"),
        ([0.2, 0.9, 0.2], "peak"),
        ([0.9, 0.2, 0.9], "dip"),
        ([0.5, 0.5, 0.5], "flat"),
        ([0.5, 0.62, 0.56], "mixed"),  # 12 points wide, but no more than 6 above an end
        # Ten points exactly are the same rate, also where binary fractions make them more.
        ([0.6, 0.65, 0.7], "flat"),
        ([0.3, 0.4], "flat"),
        ([0.4, 0.3], "flat"),
        ([0.3, 0.4, 0.3], "flat"),
        ([0.3, 0.41], "rising"),
        ([0.41, 0.3], "falling"),
        # An inner size exactly 10 points above the higher end is no peak …
        ([0.2, 0.7, 0.6], "rising"),
        ([0.6, 0.7, 0.2], "falling"),
        ([0.55, 0.7, 0.6], "mixed"),
        # … and a dip likewise.
        ([0.2, 0.1, 0.6], "rising"),
        ([0.45, 0.3, 0.4], "mixed"),
        ([0.2, 0.71, 0.6], "peak"),  # a peak, though the ends rise
        ([0.6, 0.09, 0.2], "dip"),
        ([0.5, 0.9, 0.1, 0.5], "peak"),  # both: named after the peak
        ([0.0, 0.3, 0.1, 0.6], "rising"),  # not monotonic, but between its ends
        ([0.0, 1.0], "rising"),
    ],
)
def test_every_shape_and_its_boundary(curve: list[float], expected: str) -> None:
    assert shapes(np.array([curve])) == [expected]


def test_each_row_has_its_own_shape() -> None:
    rows = np.array([[0.1, 0.5, 0.9], [0.2, 0.9, 0.2], [0.5, 0.5, 0.5]])
    assert shapes(rows) == ["rising", "peak", "flat"]


# --- how sure the shape is ------------------------------------------------------------------------


def drawn(rates: Sequence[float], n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, len(rates))) < np.array(rates)


def test_shares_of_resamples_sum_to_1_and_the_seed_fixes_them() -> None:
    refused = drawn([0.3, 0.5, 0.6], 40, seed=0)
    found = shape_of(refused)
    assert list(found) == ["shape", *SHAPES]
    assert sum(found[name] for name in SHAPES) == pytest.approx(1)
    assert 0 < found[found["shape"]] < 1
    assert shape_of(refused) == found
    assert shape_of(refused, seed=1) != found


def test_a_planted_shape_comes_out_in_almost_every_resample() -> None:
    for rates, shape in (([0.1, 0.5, 0.9], "rising"), ([0.1, 0.9, 0.1], "peak")):
        assert shape_of(drawn(rates, 100, seed=1))[shape] > 0.99


def test_sizes_that_do_not_differ_have_no_shape() -> None:
    """The same rate at every size: whatever noise makes, it is not sure of a direction."""
    sure = 0
    for seed in range(20):
        found = shape_of(drawn([0.5] * 3, 400, seed))
        sure += max(found[name] for name in ("rising", "falling", "peak", "dip")) > 0.95
        assert found["shape"] in ("flat", "mixed")
    assert sure == 0
    assert shape_of(drawn([0.5] * 3, 2000, seed=0))["flat"] > 0.99


def test_a_difficulty_that_prompts_share_does_not_blur_a_difference() -> None:
    """Sizes answered the same prompts: the larger one refuses what the smaller one does, and a
    fifth of the prompts more. Drawn apart from each other, the same rates would be unsure."""
    n, difficulty = 50, np.arange(50) / 50
    together = np.stack([difficulty < 0.4, difficulty < 0.6], axis=1)
    rng = np.random.default_rng(0)
    apart = np.stack([together[:, 0], rng.permutation(together[:, 1])], axis=1)
    assert (together.mean(0) == apart.mean(0)).all()
    paired, unpaired = (shape_of(table)["rising"] for table in (together, apart))
    # The difference is a sum of 50 draws that are 1 with probability 1/5: more than 5 of them.
    exact = 1 - sum(comb(n, k) * 0.2**k * 0.8 ** (n - k) for k in range(6))
    assert paired == pytest.approx(exact, abs=0.01) and unpaired < paired - 0.05


def test_one_size_is_no_curve() -> None:
    with pytest.raises(ValueError, match="at least two sizes"):
        shape_of(np.ones((10, 1), bool))


def test_a_curve_has_the_sizes_that_were_measured_ascending() -> None:
    none, half, most = [False] * 10, [True] * 5 + [False] * 5, [True] * 9 + [False]
    refused = {
        "dim": {"large": most, "small": none, "middle": half},
        "cosmic": {"small": most, "large": none},
        "alone": {"small": most},
    }
    table = curve_table(refused, ["small", "middle", "large", "absent"])
    assert table[["method", "sizes", "shape"]].to_numpy().tolist() == [
        ["dim", "small, middle, large", "rising"],
        ["cosmic", "small, large", "falling"],
    ]
    assert list(curve_table({}, ["small"])) == ["method", "sizes", "shape", *SHAPES]


# --- two ways on the same prompts -----------------------------------------------------------------


def answers_with(only_a: int, only_b: int, both: int = 3, neither: int = 2) -> tuple[Any, Any]:
    a = [True] * only_a + [False] * only_b + [True] * both + [False] * neither
    b = [False] * only_a + [True] * only_b + [True] * both + [False] * neither
    return a, b


@pytest.mark.parametrize(
    ("only_a", "only_b", "expected"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 2 / 32),
        (6, 0, 2 / 64),
        (1, 8, 2 * (1 + 9) / 512),
        (2, 7, 2 * (1 + 9 + 36) / 512),
        (4, 4, 1.0),  # twice the half that holds the middle is more than 1
        (3, 5, 2 * (1 + 8 + 28 + 56) / 256),
    ],
)
def test_mcnemar_is_twice_the_smaller_tail_of_the_binomial(
    only_a: int, only_b: int, expected: float
) -> None:
    a, b = answers_with(only_a, only_b)
    assert mcnemar_p(a, b) == pytest.approx(expected)
    assert mcnemar_p(b, a) == mcnemar_p(a, b)
    more = answers_with(only_a, only_b, both=30, neither=20)  # what agrees says nothing
    assert mcnemar_p(*more) == mcnemar_p(a, b)


def test_answers_to_other_prompts_are_not_compared() -> None:
    with pytest.raises(ValueError, match="3 and 2 answers are not to the same prompts"):
        mcnemar_p([True] * 3, [True] * 2)


def said(coherent: Sequence[int], n: int = 10) -> dict[str, Any]:
    """Coherent refusals of these prompts, garbled answers to all others."""
    qualities = ["coherent" if k in coherent else "normal" for k in range(n)]
    return {"answers": [{"id": f"q{k}", "quality": q} for k, q in enumerate(qualities)]}


def test_answers_are_paired_by_prompt_and_only_coherent_ones_count() -> None:
    row = said([0, 3])
    assert coherent_by_prompt(row) == [True, False, False, True, *[False] * 6]
    row["answers"].reverse()
    row["answers"][0]["quality"] = "garbled"
    assert coherent_by_prompt(row) == [True, False, False, True, *[False] * 6]


def verdict_row(method: str, model: str, coherent: float, choice: str = "") -> dict[str, Any]:
    place = {"depth": "0.4", "dose": 0.1, "garbled": 0.0, "coherent": coherent}
    return {
        "model": model,
        "method": method,
        "choice": choice or "best depth on validation",
        **place,
    }


@pytest.mark.parametrize(
    ("dim", "cosmic", "p", "disagree"),
    [
        (range(9), range(2), 2 / 128, True),  # works against partial
        (range(9), range(3), 2 / 64, True),
        (range(7), range(2), 2 / 32, False),  # other verdicts, but p = 0.0625
        (range(6), range(6, 10), 2 * (1 + 10 + 45 + 120 + 210) / 1024, False),
        (range(5), range(5), 1.0, False),
    ],
)
def test_methods_disagree_where_p_is_small_and_verdicts_differ(
    dim: range, cosmic: range, p: float, disagree: bool
) -> None:
    rows = [verdict_row("dim", "m", len(dim) / 10), verdict_row("cosmic", "m", len(cosmic) / 10)]
    rows.append(verdict_row("dim", "m", 1.0, "own rule"))
    spoken = {("m", "dim", "0.4", 0.1): said(dim), ("m", "cosmic", "0.4", 0.1): said(cosmic)}
    (found,) = agreement(pd.DataFrame(rows), spoken).to_dict("records")
    assert found["mcnemar_p"] == pytest.approx(p) and found["disagree"] is disagree
    assert (found["first"], found["second"]) == ("dim", "cosmic")
    assert found["difference"] == pytest.approx((len(dim) - len(cosmic)) / 10)


def test_a_significant_difference_within_one_verdict_is_no_disagreement() -> None:
    rows = [verdict_row("dim", "m", 1.0), verdict_row("cosmic", "m", 0.65)]
    spoken = {("m", "dim", "0.4", 0.1): said(range(20), 20)}
    spoken |= {("m", "cosmic", "0.4", 0.1): said(range(13), 20)}
    (found,) = agreement(pd.DataFrame(rows), spoken).to_dict("records")
    assert found["mcnemar_p"] == pytest.approx(2 / 128) and found["disagree"] is False


def test_models_are_compared_with_themselves_and_nothing_without_verdicts() -> None:
    rows = [verdict_row(method, model, 0.5) for model in "ab" for method in ("dim", "cosmic")]
    spoken = {(r["model"], r["method"], "0.4", 0.1): said(range(5)) for r in rows}
    assert agreement(pd.DataFrame(rows), spoken)["model"].tolist() == ["a", "b"]
    assert agreement(pd.DataFrame(rows[:1]), spoken).empty
    assert agreement(pd.DataFrame(), {}).empty

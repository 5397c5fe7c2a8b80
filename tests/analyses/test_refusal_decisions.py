"""The plan's rules on made tables."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analyses.refusal.curves import SHAPES
from analyses.refusal.decisions import (
    BEST,
    Decision,
    after_families,
    after_quantization,
    after_sizes,
    findings,
)

NOBODY = pd.DataFrame()
Row = dict[str, Any]


def judged(model: str, coherent: float, method: str = "dim", **changes: Any) -> Row:
    row: Row = {"model": model, "family": "made", "method": method, "choice": BEST, "layer": 12}
    row |= {"coherent": coherent, "coherent_low": 0.1, "coherent_high": 0.9, "garbled": 0.02}
    row |= {"verdict": "so", "depth_percent": 40.0, "validation": coherent}
    return row | changes


def table(*rows: Row) -> pd.DataFrame:
    return pd.DataFrame(rows)


def said(decisions: list[Decision], point: str) -> dict[str, str]:
    return {one.about: one.action for one in decisions if one.point == point}


# --- §5.1 and R1 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coherent", "action"),
    [
        (1.0, "go on to the sizes with DIM at block 12"),
        (0.6, "go on to the sizes with DIM at block 12"),
        (0.59, "go on to the sizes with a caveat"),
        (0.2, "go on to the sizes with a caveat"),
        (0.19, "leave out of the sizes"),
        (0.0, "leave out of the sizes"),
    ],
)
def test_a_family_goes_on_with_60_percent_and_with_a_caveat_from_20(
    coherent: float, action: str
) -> None:
    found = after_families(table(judged("a", coherent)), NOBODY)
    assert said(found, "5.1")["a"].startswith(action)


def test_a_family_goes_on_with_its_better_method_at_its_best_depth() -> None:
    rows = [judged("a", 0.3), judged("a", 0.7, "cosmic", layer=9)]
    rows.append(judged("a", 0.99, choice="own rule"))
    found = after_families(table(*rows, judged("b", 0.1)), NOBODY)
    assert said(found, "5.1") == {
        "a": "go on to the sizes with COSMIC at block 9",
        "b": "leave out of the sizes: a negative result",
    }
    (one,) = (one for one in found if one.about == "a")
    assert one.reason == "70% [10%, 90%] coherent, 2% garbled (COSMIC, so)"


def test_between_methods_validation_prompts_decide_and_test_prompts_are_told() -> None:
    rows = [judged("a", 0.9, validation=0.5), judged("a", 0.3, "cosmic", validation=0.6)]
    (one, *_) = after_families(table(*rows), NOBODY)
    assert one.action.startswith("go on to the sizes with a caveat")
    assert one.reason.startswith("30%") and "COSMIC" in one.reason
    found = after_sizes(table(*rows), NOBODY)
    assert said(found, "5.2") == {"a": "leave out"}


def test_where_nothing_refuses_the_negative_result_is_reported() -> None:
    rows = table(judged("a", 0.19), judged("b", 0.0))
    none = after_families(rows, NOBODY, everywhere=True)
    assert said(none, "5.1 / 6.1") == {"all models": "report a negative result"}
    # Not where the fallback was not searched, or something refuses, or nothing was measured.
    assert said(after_families(rows, NOBODY), "5.1 / 6.1") == {}
    some = after_families(table(judged("a", 0.2), judged("b", 0.0)), NOBODY, everywhere=True)
    assert said(some, "5.1 / 6.1") == {}
    assert said(after_families(NOBODY, NOBODY, everywhere=True), "5.1 / 6.1") == {}


def pair(model: str, disagree: bool) -> Row:
    row: Row = {"model": model, "first": "dim", "second": "cosmic", "coherent_first": 0.9}
    return row | {"coherent_second": 0.2, "mcnemar_p": 0.0156, "disagree": disagree}


def test_disagreement_is_logged_and_r1_counts_what_works() -> None:
    rows = [judged("a", 0.9), judged("b", 0.6), judged("c", 0.5)]
    found = after_families(table(*rows), table(pair("a", True), pair("b", False)))
    logged = [one for one in found if one.action.startswith("log it")]
    assert [one.about for one in logged] == ["a"]
    assert logged[0].reason == "DIM 90%, COSMIC 20% of the same prompts, McNemar p = 0.016"
    (r1,) = (one for one in found if one.point == "R1")
    assert (r1.action, r1.reason) == ("2 of 3: a, b", "methods disagree on: a")
    (r1,) = after_families(NOBODY, NOBODY)
    assert (r1.action, r1.reason) == ("0 of 0: none", "methods disagree on: none")


@pytest.mark.parametrize(("coherent", "again"), [(0.4, True), (0.39, False)])
def test_the_larger_llama_is_tried_again_from_40_percent(coherent: float, again: bool) -> None:
    rows = [judged("a", coherent, family="llama"), judged("b", 0.9)]
    found = said(after_families(table(*rows), NOBODY), "5.4")
    action = "add the 70B model again" if again else "leave the 70B model out"
    assert found == {"a": action}


# --- §5.2, §5.4 and R2 ----------------------------------------------------------------------------


def curve(shape: str, method: str = "dim", **shares: float) -> Row:
    share = dict.fromkeys(SHAPES, 0.0) | {shape: 1.0} | shares
    return {"method": method, "sizes": "s, m, l", "shape": shape, **share}


def sizes(s: float, m: float, large: float, method: str = "dim") -> list[Row]:
    return [judged(n, c, method) for n, c in zip("sml", (s, m, large), strict=True)]


def test_sizes_that_work_are_quantised() -> None:
    found = after_sizes(table(*sizes(0.6, 0.59, 0.9)), table(curve("mixed")))
    assert said(found, "5.2") == {"s": "quantise", "m": "leave out", "l": "quantise"}


@pytest.mark.parametrize(
    ("shape", "rates", "again"),
    [
        ("mixed", (0.5, 0.4, 0.6), True),
        ("dip", (0.5, 0.2, 0.6), True),
        ("dip", (0.6, 0.2, 0.5), False),  # the top is not at the end
        ("peak", (0.5, 0.9, 0.5), False),
        ("rising", (0.1, 0.5, 0.9), False),  # monotonic
        ("falling", (0.9, 0.5, 0.1), False),
        ("flat", (0.5, 0.5, 0.55), False),
    ],
)
def test_a_larger_size_is_added_where_the_curve_is_not_monotonic_and_ends_at_its_top(
    shape: str, rates: tuple[float, float, float], again: bool
) -> None:
    found = said(after_sizes(table(*sizes(*rates)), table(curve(shape))), "5.4")
    action = "add a larger size again" if again else "no larger size is needed"
    assert found == {"sizes, DIM": action}


def test_the_top_of_a_curve_is_that_of_its_own_method() -> None:
    rows = [*sizes(0.5, 0.1, 0.6), *sizes(0.9, 0.2, 0.1, "cosmic")]
    found = after_sizes(table(*rows), table(curve("dip"), curve("mixed", "cosmic")))
    assert said(found, "5.4") == {
        "sizes, DIM": "add a larger size again",
        "sizes, COSMIC": "no larger size is needed",
    }


def test_r2_says_the_shape_with_its_shares_and_where_the_layers_are() -> None:
    rows = [judged(n, 0.5, depth_percent=d) for n, d in zip("sml", (40, 50, 60.4), strict=True)]
    rising = curve("rising", rising=0.9, flat=0.096, peak=0.004)
    (r2,) = (one for one in after_sizes(table(*rows), table(rising)) if one.point == "R2")
    assert r2.action == "DIM: rising (resamples: rising 90%, flat 10%)"
    assert r2.reason == "s 40 %, m 50 %, l 60 %"
    (r2,) = (one for one in after_sizes(table(rows[0]), NOBODY) if one.point == "R2")
    assert r2.action == "one size only"


# --- §5.4 and R3 ----------------------------------------------------------------------------------


def precision(quantization: str, p: float, cosine: float) -> Row:
    row = {"model": "m", "quantization": quantization, "mcnemar_p": p}
    return row | {"cosine_to_full": cosine}


@pytest.mark.parametrize(
    ("p", "cosine", "changed"),
    [
        (1.0, 1.0, False),
        (0.05, 0.91, False),
        (0.049, 1.0, True),
        (1.0, 0.9, True),  # above 0.9 is preserved
        (1.0, -0.99, True),
    ],
)
def test_quantisation_matters_where_answers_or_the_direction_change(
    p: float, cosine: float, changed: bool
) -> None:
    rows = [precision("none", np.nan, 1.0), precision("int8", 1.0, 0.99)]
    found = after_quantization(table(*rows, precision("nf4", p, cosine)))
    names = "m nf4" if changed else "none"
    assert {one.reason for one in found} == {f"changed: {names} of 2 comparisons"}
    assert said(found, "R3") == {
        "does quantisation matter?": "yes" if changed else "not measurably"
    }
    other = "compare GPTQ and AWQ too" if changed else "no other quantiser is needed"
    assert said(found, "5.4") == {"GPTQ/AWQ": other}


def test_a_finding_is_a_line_with_its_numbers() -> None:
    row = {"point": "5.1", "about": "m", "action": "do", "reason": "since 60%"}
    assert list(findings("now", [row])) == ["## now", "", "* **5.1** m: do (since 60%)", ""]

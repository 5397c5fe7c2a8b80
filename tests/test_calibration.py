"""Agreement of a judge with reference scores, against SciPy and by hand."""

from typing import Any

import numpy as np
import pytest
from scipy import stats


def _ratings(values: Any) -> list[Any]:
    from tl_geometry.judges.number_scores import Rating, missing

    return [missing("late") if v is None else Rating(float(v), 1.0, 0.0) for v in values]


def _scipy(a: Any, b: Any) -> float:
    found: Any = stats.spearmanr(a, b)
    return float(found.statistic)


def _calibration(judged: Any, true: Any, **options: Any) -> Any:
    from tl_geometry.judges.calibration import calibration

    options = {"rng": np.random.default_rng(0), "n_resamples": 2000, **options}
    return calibration(_ratings(judged), _ratings(true), **options)


def test_spearman_mae_and_bias_are_those_of_scipy_and_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    true = rng.integers(0, 5, 40) * 25.0
    judged = np.clip(true * 0.6 + rng.integers(0, 4, 40) * 10, 0, 100)
    found = _calibration(judged, true)
    assert found.spearman.estimate == pytest.approx(_scipy(judged, true))
    assert found.mae.estimate == pytest.approx(np.abs(judged - true).mean())
    assert found.bias.estimate == pytest.approx((judged - true).mean())
    assert (found.n, found.n_missing, found.spearman.n) == (40, 0, 40)
    for interval in (found.spearman, found.mae, found.bias):
        assert interval.low < interval.estimate < interval.high and interval.method == "BCa"


def test_every_resample_has_its_own_ranks() -> None:
    from tl_geometry.judges.calibration import rank_correlation

    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 6, 15).astype(float), rng.integers(0, 6, 15).astype(float)
    weights = rng.multinomial(15, np.full(15, 1 / 15), size=5).astype(float)
    drawn = [np.repeat(np.arange(15), row.astype(int)) for row in weights]
    expected = [_scipy(a[rows], b[rows]) for rows in drawn]
    assert rank_correlation(a, b)(weights) == pytest.approx(expected)


def test_missing_ratings_are_left_out_and_counted() -> None:
    found = _calibration([10, None, 30, 50, None, 90], [0, 20, 40, None, None, 100])
    assert (found.n, found.n_missing, found.n_no_reference) == (3, 1, 2)
    assert found.mae.estimate == pytest.approx(10)
    assert found.spearman.estimate == pytest.approx(1)


def test_a_judge_that_says_always_the_same_has_no_order_but_an_error() -> None:
    found = _calibration([50] * 8, [0, 100] * 4)
    assert found.spearman.status == "missing" and "undefined" in found.spearman.reason
    assert found.mae.estimate == 50
    nothing = _calibration([None] * 3, [1, 2, 3])
    assert nothing.n == 0 and nothing.n_missing == 3
    assert nothing.mae.reason == "no answer has both ratings"


def test_answers_to_one_question_are_one_unit() -> None:
    rng = np.random.default_rng(3)
    questions = np.repeat(np.arange(10), 8)
    true = rng.uniform(0, 100, 10)[questions]
    judged = np.clip(true + rng.normal(0, 20, 10)[questions], 0, 100)
    by_answer = _calibration(judged, true)
    by_question = _calibration(judged, true, questions=list(questions))
    assert by_question.mae.n == 10 and by_answer.mae.n == 80
    widths = [c.mae.high - c.mae.low for c in (by_question, by_answer)]
    assert widths[0] > 2 * widths[1]
    with pytest.raises(ValueError, match="one of each"):
        _calibration(judged, true[:-1])


def test_a_judge_is_calibrated_on_the_rule_of_the_pocket_world() -> None:
    from tl_geometry.judges.calibration import calibration, report, table
    from tl_geometry.judges.number_scores import Rating
    from tl_geometry.judges.pocket_rule import PocketRule
    from tl_geometry.pocket.corpus import trait_items

    items = trait_items("evil", "test")[:30]
    questions = [item.question for item in items] * 2
    answers = [item.positive for item in items] + [item.negative for item in items]
    reference = PocketRule().trait("evil", "", questions, answers)
    rng = np.random.default_rng(4)
    noise = rng.uniform(0, 60, 60)
    noisy = [
        Rating(float(abs((r.value or 0) - e)), 1.0, 0.0)
        for r, e in zip(reference, noise, strict=True)
    ]
    good = calibration(noisy, reference, questions=questions, rng=rng, n_resamples=1000)
    perfect = calibration(reference, reference, questions=questions, rng=rng, n_resamples=1000)
    assert good.mae.estimate == pytest.approx(noise.mean())
    assert 0.3 < good.spearman.low < good.spearman.estimate < 0.9
    assert perfect.mae.estimate == 0 and perfect.spearman.estimate == pytest.approx(1)
    judges = {"noisy": good, "rule": perfect}
    frame = table(judges)
    assert list(frame["judge"]) == ["noisy"] * 3 + ["rule"] * 3
    assert list(frame["measure"][:3]) == ["spearman", "mae", "bias"]
    # Ones and noughts in halves: no resample of questions changes the ranks.
    assert perfect.spearman.status == "missing" and perfect.spearman.reason in report(judges)
    lines = report(judges).splitlines()
    assert lines[1].startswith("noisy") and "[" in lines[1] and lines[2].startswith("rule")

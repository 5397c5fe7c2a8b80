"""Confounds that make the whole gap, and confounds that make none of it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_records import made_record, made_texts
from sklearn.metrics import roc_auc_score

from analyses.cross_architecture import confounds
from analyses.cross_architecture.confounds import CALIPERS, COVARIATES
from tl_geometry.prompts import Prompt

N_TEXTS, LAYER, EARLY = 120, 13, 2
ARGS = (300, 0)


def record(by_tokens: float, by_kind: float) -> Any:
    """Self-observing texts are longer; log PR at the critical layer follows length and kind."""
    texts = made_texts({}, n=N_TEXTS, noise=0.05)
    for row in texts:
        first = row["kind"] == "recursive"
        row["tokens"] += 8 * first
        row["pr_value"][EARLY] = 7.0
        row["pr_value"][LAYER] *= np.exp(by_tokens * row["tokens"] + by_kind * first)
    return made_record(texts)


def rows_of(table: pd.DataFrame, key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in table.to_dict("records")}


def test_a_gap_made_by_length_vanishes_given_length() -> None:
    found = rows_of(confounds.adjusted_table(record(0.02, 0.0), *ARGS), "comparison")
    assert found["as it is"]["low"] > 0.5
    for freed in ("given tokens", "given all three"):
        assert found[freed]["low"] < 0 < found[freed]["high"]
        assert abs(found[freed]["estimate"]) < 0.5 * found["as it is"]["estimate"]
    assert found["given nll"]["low"] > 0.5  # which has nothing to do with it
    assert found["tokens of the two kinds"]["low"] > 0.5
    assert found["nll of the two kinds"]["low"] < 0 < found["nll of the two kinds"]["high"]


def test_a_gap_made_by_the_kind_stays_whatever_is_given() -> None:
    found = rows_of(confounds.adjusted_table(record(0.0, 0.1), *ARGS), "comparison")
    names = ["as it is", *(f"given {name}" for name in COVARIATES), "given all three"]
    for name in (*names, "matched texts"):
        assert found[name]["low"] > 1 and found[name]["about"] == "gap"
        assert found[name]["estimate"] == pytest.approx(found["as it is"]["estimate"], rel=0.25)


def test_an_adjusted_gap_is_the_coefficient_in_units_of_the_spread_within() -> None:
    made = record(0.01, 0.05)
    half = [row for row in made.texts if not row["chooses"]]
    y, first = confounds.outcome(half, made), np.array([r["kind"] == "recursive" for r in half])
    tokens = np.array([float(row["tokens"]) for row in half])
    design = np.column_stack([np.ones(len(y)), first, tokens])
    slope = np.linalg.lstsq(design, y, rcond=None)[0][1]
    spread = np.sqrt((y[first].var(ddof=1) + y[~first].var(ddof=1)) / 2)
    found = rows_of(confounds.adjusted_table(made, *ARGS), "comparison")["given tokens"]
    assert found["estimate"] == pytest.approx(slope / spread)


def test_matched_texts_keep_to_the_calipers() -> None:
    rows = list(record(0.0, 0.0).texts)
    first = np.array([row["kind"] == "recursive" for row in rows])
    kept = confounds._matched(rows, first)
    assert len(kept) > 20 and len(set(kept)) == len(kept)
    for i, j in kept.reshape(-1, 2):
        assert first[i] and not first[j]
        for name, caliper in CALIPERS.items():
            assert abs(rows[i][name] - rows[j][name]) <= caliper + 1e-9


def test_without_texts_alike_nothing_is_matched() -> None:
    made = record(0.0, 0.1)
    for row in made.texts:
        row["tokens"] += 100 * (row["kind"] == "recursive")
    found = rows_of(confounds.adjusted_table(made, *ARGS), "comparison")["matched texts"]
    assert found["status"] == "missing" and found["n"] == 0


def test_a_covariate_that_is_the_same_in_all_texts_is_named() -> None:
    made = record(0.0, 0.1)
    for row in made.texts:
        row["distinct_tokens"] = 1.0
    found = rows_of(confounds.adjusted_table(made, *ARGS), "comparison")["given distinct_tokens"]
    assert found["status"] == "missing"
    assert found["reason"] == "distinct_tokens is the same in all texts"


def test_auroc_by_hand_and_by_scikit_learn() -> None:
    # Of the six pairs, (3, 1), (3, 2) and (2, 1) are in order, (2, 2) is a tie, (0, ·) are not.
    first = np.array([True, True, True, False, False])
    assert confounds.auroc(np.array([3.0, 2.0, 0.0, 1.0, 2.0]), first) == pytest.approx(3.5 / 6)
    scores = np.random.default_rng(0).integers(0, 6, 50).astype(float)
    kinds = np.random.default_rng(1).random(50) < 0.4
    assert confounds.auroc(scores, kinds) == pytest.approx(roc_auc_score(kinds, scores))


def test_a_score_s_direction_is_chosen_on_one_half_and_its_area_measured_on_the_other() -> None:
    made = record(0.0, -0.05)
    for row in made.texts:  # higher in one half's self-observing texts, lower in the other's
        up = (row["kind"] == "recursive") == row["chooses"]
        row["nll"] += 0.4 if up else -0.4
    worded = {
        "recursive": "I notice how my own mind reads each of these words just now",
        "plain": "The harbour was opened to ships a long time ago",
    }
    bank = [Prompt(row["id"], "g", row["kind"], None, worded[row["kind"]]) for row in made.texts]
    found = rows_of(confounds.baseline_table(made, bank, *ARGS), "score")
    half = [row for row in made.texts if not row["chooses"]]
    kinds = [row["kind"] == "recursive" for row in half]
    by_r_v = [row["pr_value"][LAYER] for row in half]
    critical = found["R_V at the critical layer"]
    # Fewer directions for self-observing texts: the score is turned round.
    assert critical["estimate"] == pytest.approx(1 - roc_auc_score(kinds, by_r_v))
    assert 0.5 < critical["low"] < critical["estimate"] < critical["high"] < 1
    expected = roc_auc_score(kinds, [row["nll"] for row in half])
    assert found[COVARIATES["nll"]]["estimate"] == pytest.approx(expected)
    assert expected < 0.3
    # The words give the kind away: no interval, but the reason.
    for words in ("words (TF-IDF, logistic)", "ten keywords"):
        assert found[words]["estimate"] == 1 and "without error" in found[words]["reason"]

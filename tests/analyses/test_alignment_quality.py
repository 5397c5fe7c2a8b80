"""Separation on made spaces: cells, nulls, baselines and differences."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analyses.alignment_quality.cells import MEAN, POOLED, headline_of, separations, stated
from analyses.alignment_quality.compare import differences, ranking, verdict
from analyses.alignment_quality.draws import Draws
from analyses.alignment_quality.items import Item
from analyses.alignment_quality.matched import matched
from analyses.alignment_quality.published import published
from analyses.alignment_quality.silhouettes import subsampled
from analyses.alignment_quality.summary import _nulls
from analyses.requested import ModelPlan
from tl_geometry.bootstrap import CONSTANT
from tl_geometry.catalogue import resolve
from tl_geometry.separation import adjusted_eta_squared
from tl_geometry.separation_intervals import (
    silhouette_replicates,
    subsampled_silhouette,
    subsampling_interval,
)

AXIOMS, PER_CELL, WIDTH = ("civility", "duty"), 20, 8


def made_items(n: int = PER_CELL, axioms: Sequence[str] = AXIOMS) -> tuple[Item, ...]:
    return tuple(
        Item(f"{axiom}{k}{safe}", axiom, safe, f"text {axiom} {k} {safe}", f"{axiom}{k}")
        for axiom in axioms
        for safe in (True, False)
        for k in range(n)
    )


@pytest.fixture(scope="module")
def draws() -> Draws:
    return Draws.of(made_items(), seed=0, resamples=500)


def space(draws: Draws, shift: float, seed: int = 1) -> np.ndarray:
    """Noise, and safe inputs further along the first coordinate."""
    x = np.random.default_rng(seed).standard_normal((len(draws.items), WIDTH))
    x[:, 0] += shift * draws.labels
    return x


# --- cells ----------------------------------------------------------------------------------------


def test_a_planted_separation_is_found_in_every_cell_and_its_mean_is_the_mean(draws: Draws) -> None:
    x = space(draws, 3.0)
    found = separations(x, draws)
    assert list(found) == [*AXIOMS, POOLED, MEAN]
    values = []
    for axiom in AXIOMS:
        rows, row = draws.rows(axiom), found[axiom]
        assert row["eta"] == pytest.approx(adjusted_eta_squared(x[rows], draws.labels[rows]).value)
        assert row["eta_low"] < row["eta"] < row["eta_high"] and row["eta_low"] > 0
        assert row["auc"] > 0.85 and row["eta_p"] == row["auc_p"] == pytest.approx(1 / 501)
        assert row["silhouette_low"] < row["silhouette"] < row["silhouette_high"]
        values.append((row["eta"], row["auc"], row["silhouette"]))
    mean = found[MEAN]
    assert (mean["eta"], mean["auc"], mean["silhouette"]) == pytest.approx(np.mean(values, axis=0))
    assert found[POOLED]["n"] == mean["n"] == len(draws.items)


def test_the_mean_silhouette_is_made_of_the_values_that_the_cells_have(draws: Draws) -> None:
    """Exactly what the library gives for each axiom, and half by half for their mean."""
    x = space(draws, 1.0)
    found, alone, widths = separations(x, draws), [], []
    for axiom in AXIOMS:
        rows = draws.rows(axiom)
        one = x[rows], draws.labels[rows], draws.halves[:, rows]
        alone.append(subsampled_silhouette(*one))
        widths.append(silhouette_replicates(*one))
        assert found[axiom].items() >= stated("silhouette", alone[-1]).items()
    estimate, n = float(np.mean([interval.estimate for interval in alone])), len(draws.items)
    mean = subsampling_interval(estimate, np.mean(widths, axis=0), n, n // 2)
    assert found[MEAN].items() >= stated("silhouette", mean).items()


def test_halves_with_one_item_of_a_class_give_no_interval() -> None:
    few = Draws.of(made_items(3, AXIOMS[:1]), 0, 100)
    given = space(few, 1.0), few.labels, few.halves
    found, expected = subsampled(*given).interval(), subsampled_silhouette(*given)
    assert found.estimate == expected.estimate and np.isnan([found.low, found.high]).all()
    assert found.reason == expected.reason != ""


def test_the_headline_is_the_mean_cell(draws: Draws) -> None:
    x = space(draws, 1.5)
    headline, mean = headline_of(x, draws), separations(x, draws)[MEAN]
    assert mean.items() >= stated("eta", headline.eta.interval()).items()
    assert mean.items() >= stated("auc", headline.auc.interval()).items()


def test_an_axiom_that_is_always_told_apart_does_not_cost_the_mean_its_interval(
    draws: Draws,
) -> None:
    """One axiom's AUC is 1 on every resample, so the mean's ends are half of the other's plus ½."""
    x = space(draws, 1.0)
    first, second = (draws.rows(axiom) for axiom in AXIOMS)
    x[first, 0] += 100 * draws.labels[first]
    found = separations(x, draws)
    sure, other, mean = found[AXIOMS[0]], found[AXIOMS[1]], found[MEAN]
    assert sure["auc"] == 1 and np.isnan(sure["auc_low"]) and other["auc"] < 1
    assert mean["auc"] == pytest.approx((1 + other["auc"]) / 2) and mean["auc_reason"] == ""
    assert mean["auc_low"] < mean["auc"] < mean["auc_high"] <= 1
    # Bias-corrected, but without the acceleration that the axiom alone has.
    assert mean["auc_low"] == pytest.approx((1 + other["auc_low"]) / 2, abs=0.02)
    x[second, 0] += 100 * draws.labels[second]
    assert separations(x, draws)[MEAN]["auc_reason"] == CONSTANT


def test_where_nothing_is_planted_nothing_is_found(draws: Draws) -> None:
    row = separations(space(draws, 0.0), draws)[MEAN]
    assert row["eta_low"] < 0 < row["eta_high"] and row["eta_p"] > 0.05
    shuffled = separations(space(draws, 3.0), draws.relabelled(7))[MEAN]
    assert shuffled["eta_low"] < 0 < shuffled["eta_high"] and shuffled["auc"] < 0.7


def test_intervals_under_shuffled_labels_are_counted_against_each_measures_chance() -> None:
    """One shuffle of two models and two poolings: by hand."""
    made = {"model": ["a", "a", "b", "b"], "pool": ["mean", "last"] * 2, "axiom": [MEAN] * 4}
    made |= {"eta": [0.0] * 4, "eta_low": [-0.1, -0.1, 0.01, -0.1], "eta_high": [0.1] * 4}
    made |= {"auc": [0.5] * 4, "auc_low": [0.3, 0.4, 0.51, np.nan]}
    table = pd.DataFrame({**made, "auc_high": [0.4, 0.6, 0.7, np.nan]})
    spaces = pd.DataFrame(columns=["axiom", "headline", "model", "stage", "pool", "auc"])
    (said,) = _nulls({"controls": table, "separation": spaces})
    assert "one shuffle of the labels, the same for 2 models and mean and last pooling" in said
    assert "1 of 4 intervals exclude 0)" in said and "(2 of 4 exclude 0.5)" in said


def test_labels_are_shuffled_inside_their_axiom(draws: Draws) -> None:
    again = draws.relabelled(7)
    assert (again.labels != draws.labels).any() and again.items is draws.items
    for axiom in AXIOMS:
        assert again.labels[draws.rows(axiom)].sum() == PER_CELL


def test_a_space_without_spread_is_missing_with_its_reason(draws: Draws) -> None:
    found = separations(np.ones((len(draws.items), WIDTH)), draws)
    row = found[AXIOMS[0]]
    assert np.isnan(row["eta"]) and row["reason"] == "all points are equal"
    assert "equal" in row["eta_reason"] and np.isnan(row["auc"])
    mean = found[MEAN]
    assert np.isnan(mean["silhouette"]) and mean["silhouette_reason"] == row["reason"]


def test_twins_are_held_out_together() -> None:
    """A probe that had seen the twin of an item would know it by its content."""
    items = made_items(30, AXIOMS[:1])
    apart = Draws.of(items, 0, 100)
    content = np.random.default_rng(0).standard_normal((30, WIDTH))
    x = np.vstack([content, content]) + 1e-3 * space(apart, 0.0)
    assert separations(x, apart)[AXIOMS[0]]["auc"] < 0.7


# --- matched --------------------------------------------------------------------------------------


def test_length_alone_separates_nothing_once_lengths_are_equal(draws: Draws) -> None:
    lengths = np.random.default_rng(2).integers(5, 9, len(draws.items)) + 2.0 * draws.labels
    x = space(draws, 0.0)
    x[:, 0] = 4 * lengths
    whole = separations(x, draws)[MEAN]
    row = matched(x, draws, lengths)["equal length"]
    assert whole["eta_low"] > 0.1 and row["eta_low"] < 0.05 < whole["eta"]
    assert row["n"] % (2 * len(AXIOMS)) == 0 and row["n"] < whole["n"]


def test_sources_that_have_both_labels_are_compared_inside(draws: Draws) -> None:
    x, lengths = space(draws, 2.0), np.full(len(draws.items), 5.0)
    assert matched(x, draws, lengths)["equal source"]["reason"].startswith("some axiom has 0 pairs")
    named = [replace(item, source="ab"[int(item.unit[-1]) % 2]) for item in draws.items]
    row = matched(x, Draws.of(named, 0, 200), lengths)["equal source"]
    assert row["n"] == len(draws.items) and row["eta_low"] > 0
    # A label that is its source leaves nothing to compare.
    by_label = [replace(item, source="ab"[item.safe]) for item in draws.items]
    assert matched(x, Draws.of(by_label, 0, 200), lengths)["equal source"]["n"] == 0


# --- models against each other --------------------------------------------------------------------


def plan_of(name: str) -> ModelPlan:
    return ModelPlan(name, resolve(name), None, "r")


def test_a_model_that_separates_more_than_its_base_is_found_on_the_same_inputs(
    draws: Draws,
) -> None:
    names = ("pocket-llama", "pocket-llama-base")
    found = {names[0]: headline_of(space(draws, 3.0), draws)}
    found[names[1]] = headline_of(space(draws, 1.5), draws)
    first, second = ranking(found)
    assert (first["model"], first["rank"], second["rank"]) == (names[0], 1, 2)
    assert first["highest_in_resamples"] + second["highest_in_resamples"] == 1
    assert first["highest_in_resamples"] > 0.95
    pair = [(plan_of(names[0]), plan_of(names[1]))]
    (row,) = differences(pair, found)
    assert row["eta"] == pytest.approx(first["eta"] - second["eta"])
    assert row["found"] == "higher" and row["eta_low"] > 0
    # Taught to refuse the unsafe inputs, by its manifest.
    assert row["expected"] == "higher" and row["refusal_gap"] > 0.9
    (same,) = differences(pair, dict.fromkeys(names, found[names[0]]))
    assert same["eta"] == 0 and same["found"] == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.2, "higher"),
        (-0.2, -0.1, "lower"),
        (-0.1, 0.1, "undecided"),
        (np.nan, 1.0, "undecided"),
    ],
)
def test_a_difference_is_one_when_its_interval_says_so(low: float, high: float, said: str) -> None:
    assert verdict(low, high) == said


def test_the_published_index_says_what_in_it_is_no_measurement(draws: Draws) -> None:
    rows = published(space(draws, 3.0), draws, 0.5, 0)
    assert [row["axiom"] for row in rows] == [*AXIOMS, "overall", "mean of axioms"]
    flags = [row["no_measurement"] for row in rows[:3]]
    assert sum("CHI_norm 0" in flag for flag in flags) == 1
    assert sum("CHI_norm 100" in flag for flag in flags) == 1
    again = published(space(draws, 3.0), draws, 0.5, 1)
    assert [row["chi"] for row in again[:3]] != [row["chi"] for row in rows[:3]]

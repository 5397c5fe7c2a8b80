"""Separation on made spaces, its items, and the program on two tiny checkpoints."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_runs import frame, save_checkpoint, tables

from analyses.alignment_quality.__main__ import main
from analyses.alignment_quality.cells import MEAN, POOLED, headline_of, separations, stated
from analyses.alignment_quality.compare import differences, ranking, verdict
from analyses.alignment_quality.config import Config
from analyses.alignment_quality.draws import Draws
from analyses.alignment_quality.items import Item, load_items
from analyses.alignment_quality.matched import matched
from analyses.alignment_quality.plan import make_plan
from analyses.alignment_quality.published import published
from analyses.alignment_quality.silhouettes import subsampled
from analyses.requested import ModelPlan
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


def test_where_nothing_is_planted_nothing_is_found(draws: Draws) -> None:
    row = separations(space(draws, 0.0), draws)[MEAN]
    assert row["eta_low"] < 0 < row["eta_high"] and row["eta_p"] > 0.05
    shuffled = separations(space(draws, 3.0), draws.relabelled(7))[MEAN]
    assert shuffled["eta_low"] < 0 < shuffled["eta_high"] and shuffled["auc"] < 0.7


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


# --- items ----------------------------------------------------------------------------------------


def test_pocket_items_are_held_out_and_as_many_in_every_cell() -> None:
    few, more = load_items("pocket", 10), load_items("pocket", 20)
    assert (few.per_cell, few.asked, len(few.axioms)) == (10, 10, 7)
    assert len(few.items) == 140 and {i.id for i in few.items} < {i.id for i in more.items}
    sides: dict[str, set[bool]] = {}
    for item in few.items:
        sides.setdefault(item.axiom + item.unit, set()).add(item.safe)
    assert all(len(found) == 2 for found in sides.values())
    every = load_items("pocket", 1000)
    assert every.per_cell < 100 and every.rows == len(every.items) + sum(every.dropped.values())
    assert few.content_hash != more.content_hash


def save_items(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


PEOPLE = ("baker", "farmer", "nurse", "pilot", "singer", "tailor", "teacher", "weaver")


def rows_of(n: int = 8) -> list[dict[str, Any]]:
    return [
        {"axiom": axiom, "safety_label": label, "input": f"{word} the {axiom} {PEOPLE[k]} today"}
        for axiom in AXIOMS
        for label, word in (("safe", "Greet"), ("unsafe", "Smash"))
        for k in range(n)
    ]


def test_duplicates_and_texts_under_both_labels_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = rows_of(4)
    both = {**rows[0], "safety_label": "unsafe"}
    found = load_items(str(save_items(tmp_path / "x.jsonl", [*rows, both, rows[5]])), 99)
    assert found.dropped["the same text is safe and unsafe"] == 2
    assert found.dropped["the same text stood before"] == 1
    assert (found.per_cell, found.rows) == (3, 18)
    table = pd.DataFrame(rows)
    table.to_parquet(tmp_path / "x.parquet")
    table.to_csv(tmp_path / "x.csv")
    (tmp_path / "clean").mkdir()
    clean = save_items(tmp_path / "clean" / "x.jsonl", rows)
    hashes = {
        load_items(str(p), 4).content_hash
        for p in (clean, tmp_path / "x.parquet", tmp_path / "x.csv")
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"safety_label": "harmful"}, "safety_label 'harmful': every row is safe or unsafe"),
        ({"input": " "}, "1 rows have no input"),
        ({"axiom": "wisdom"}, "axiom 'wisdom' has no unsafe input"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(
    change: dict[str, str], said: str, tmp_path: Path
) -> None:
    rows = rows_of(2)
    rows[0] = {**rows[0], **change}
    with pytest.raises(ValueError, match=said):
        load_items(str(save_items(tmp_path / "x.jsonl", rows)), 9)


def test_absent_columns_and_files_are_named(tmp_path: Path) -> None:
    path = save_items(tmp_path / "x.jsonl", [{"axiom": "a", "input": "b"}])
    with pytest.raises(ValueError, match="no column safety_label"):
        load_items(str(path), 9)
    with pytest.raises(ValueError, match="there is no file"):
        load_items(str(tmp_path / "absent.csv"), 9)
    with pytest.raises(ValueError, match="is none of pocket, litmus"):
        load_items("nothing", 9)


# --- the program ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models that differ in their weights, and a file of inputs."""
    home = tmp_path_factory.mktemp("quality")
    for name in ("one", "two"):
        save_checkpoint(home / name)
    weights = home / "two" / "model.safetensors"
    from safetensors.torch import load_file, save_file

    moved = {k: v * (1.1 if "mlp" in k else 1) for k, v in load_file(weights).items()}
    save_file(moved, weights, metadata={"format": "pt"})
    save_items(home / "items.jsonl", rows_of())
    return home


def options(folder: Path, out: Path, *more: str) -> list[str]:
    given = ["--models", str(folder / "one"), str(folder / "two"), "--resamples", "100"]
    given += ["--prompts", str(folder / "items.jsonl"), "--out", str(out), "--run", "x"]
    return [*given, "--reseeds", "1", "--depths", "0", "0.5", *more]


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    assert main(options(folder, out)) == 0
    return out / "x"


def test_a_run_leaves_tables_report_and_the_plans_files(finished: Path) -> None:
    models, separation = frame(finished, "models"), frame(finished, "separation")
    assert models["model"].tolist().__len__() == 2 and set(models["stage"]) == {"instruct"}
    trained = separation[separation["stage"] == "instruct"]
    assert sorted(trained["layer"].unique()) == [0, 4, 6, 7]
    assert set(separation["stage"]) == {"instruct", "random weights", "words"}
    at_headline = separation[separation["headline"]]
    assert set(at_headline["stage"]) == set(separation["stage"])
    assert set(at_headline["layer"].dropna()) == {6}  # three quarters of eight
    assert set(trained["axiom"]) == {*AXIOMS, POOLED, MEAN} and set(trained["pool"]) == {
        "mean",
        "last",
    }
    words = separation[separation["stage"] == "words"]
    assert (words["auc"] == 1).all()  # "Greet" and "Smash" tell the classes apart
    page = (finished / "report.html").read_text()
    assert "AQI as published" in page and "bag of words" in page
    export = finished / "export"
    for name in ("one", "two"):
        result = json.loads((export / name / "result.json").read_text())
        assert {"model_key", "hf_repo", "aqi_score", "chi_norm", "xb_norm", "n_samples"} <= set(
            result
        )
        metrics = json.loads((export / name / "metrics_summary.json").read_text())
        assert [row["Category"] for row in metrics] == [*AXIOMS, "overall", "mean of axioms"]
        assert (export / name / f"embeddings_{name}.safetensors").is_file()
    summary = json.loads((export / "phase1_summary.json").read_text())
    assert summary["all_scores"][summary["baseline_model"]] == summary["baseline_aqi"]
    checkpoint = json.loads((export / "phase1_aqi_checkpoint.json").read_text())
    assert checkpoint["completed_models"] == ["one", "two"] and checkpoint["_complete"]


def test_a_run_that_was_cut_off_ends_with_the_same_tables(
    folder: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after some spaces of the second model."""
    out = tmp_path / "again"
    from analyses.alignment_quality import measure

    real, seen = measure.separations, []

    def until(*given: Any) -> Any:
        seen.append(given)
        if len(seen) == 12:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(measure, "separations", until)
    assert main(options(folder, out)) == 130
    monkeypatch.setattr(measure, "separations", real)
    assert main(options(folder, out)) == 0
    assert tables(out / "x") == tables(finished)


def test_a_model_that_cannot_be_read_is_a_row_and_the_others_go_on(
    folder: Path, tmp_path: Path
) -> None:
    given = options(folder, tmp_path, "--no-published", "--no-random-init", "--pool", "mean")
    given += ["--models", str(folder / "one"), "owner/absent"]
    assert main(given) == 3
    missing = frame(tmp_path / "x", "missing")
    assert missing[missing["what"] == "model"]["id"].tolist() == ["absent"]
    assert frame(tmp_path / "x", "models")["model"].tolist() == ["one"]


def test_config_prints_what_would_be_measured(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", *options(folder, tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Phase 1: Multi-Architecture AQI Config" in said and "Models: ['one', 'two']" in said
    assert "8 of each of 2 axioms and 2 labels" in said and not (tmp_path / "x").exists()
    assert main(options(folder, tmp_path, "--dry-run")) == 0
    assert "t-SNE maps: 6" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--layers", "99"), "layer 99 does not exist"),
        (("--limit", "2"), "give at least 3"),
        (("--depth", "1"), "outside 0"),
        (("--gamma", "2"), "between 0 and 1"),
        (("--reference", "nowhere"), "is not a finished run"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(
    wrong: tuple[str, ...], said: str, folder: Path, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    try:
        status = main(options(folder, tmp_path, *wrong))
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    assert status == 2 and said in caplog.text + capsys.readouterr().err


def test_a_named_run_fixes_the_scale_of_the_comparable_index(
    folder: Path, finished: Path, tmp_path: Path
) -> None:
    few = ("--no-published", "--no-random-init", "--pool", "mean", "--reference", str(finished))
    assert main(options(folder, tmp_path, *few)) == 0
    scored = frame(tmp_path / "x", "models")
    assert scored["aqi_frozen"].between(0, 100).all()
    # Higher η², higher score: whatever the scale.
    assert scored.sort_values("eta")["aqi_frozen"].is_monotonic_increasing
    assert frame(finished, "models")["aqi_frozen"].isna().all()


def test_modes_have_the_plans_sizes_and_an_explicit_number_goes_before() -> None:
    assert [Config(mode=m).per_cell for m in ("sanity", "full")] == [100, 200]  # type: ignore[arg-type] # m is a str
    assert Config(mode="full", limit=5).per_cell == 5
    assert Config(limit=5, samples=7).per_cell == 7
    keys = {make_plan(Config(models=("pocket-llama",), limit=n)).spec.key for n in (4, 5)}
    assert len(keys) == 2

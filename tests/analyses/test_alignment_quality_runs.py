"""Items of alignment_quality, and the program on two tiny checkpoints."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.numpy import load, save
from small_runs import frame, save_checkpoint, tables

from analyses.alignment_quality.__main__ import main
from analyses.alignment_quality.cells import MEAN, POOLED
from analyses.alignment_quality.config import Config
from analyses.alignment_quality.items import load_items
from analyses.alignment_quality.plan import make_plan

AXIOMS, PER_CELL, WIDTH = ("civility", "duty"), 20, 8
NAMES = ("one", "two")


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


def test_a_line_that_is_no_json_is_named_by_file_and_number(tmp_path: Path) -> None:
    path = save_items(tmp_path / "x.jsonl", rows_of(2))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2][:-5], *lines[3:]]))
    with pytest.raises(ValueError, match=r"x\.jsonl, line 3: not JSON"):
        load_items(str(path), 9)


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
    first = models.iloc[0]  # highest by the primary measure
    assert summary["baseline_model"] == first["model"]
    assert summary["baseline_eta"] == pytest.approx(first["eta"])
    assert summary["baseline_eta_low"] < summary["baseline_eta"] < summary["baseline_eta_high"]
    highest = max(summary["all_scores"], key=lambda name: summary["all_scores"][name])
    assert summary["baseline_by_aqi"] == highest
    items = pd.read_csv(export / "items.csv")
    expected = [("civility", "safe"), ("civility", "unsafe"), ("duty", "safe"), ("duty", "unsafe")]
    assert items["row"].tolist() == list(range(32))
    assert items.groupby(["axiom", "label"]).size().to_dict() == dict.fromkeys(expected, 8)
    assert set(items["text"]) == {row["input"] for row in rows_of()}
    assert items["text"].str.startswith("Greet").equals(items["label"] == "safe")
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


def test_states_of_another_run_are_measured_again(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the same shape: nothing but what their file says of itself tells them apart."""
    few = ("--no-published", "--no-random-init", "--pool", "mean")
    assert main(options(folder, tmp_path, *few)) == 0
    one, two = (tmp_path / "x" / name / "artifacts" / "states.safetensors" for name in NAMES)
    was = one.read_bytes()
    assert main(options(folder, tmp_path, *few)) == 0
    assert "measured again" not in caplog.text
    shutil.copyfile(two, one)
    assert main(options(folder, tmp_path, *few)) == 0
    assert "one/artifacts/states.safetensors is not of this request (model" in caplog.text
    mended, whole = load(one.read_bytes()), load(was)
    assert all((mended[key] == whole[key]).all() for key in ("mean", "final", "lengths"))
    # A file that says nothing of itself serves no request either.
    one.write_bytes(save(whole))
    caplog.clear()
    assert main(options(folder, tmp_path, *few)) == 0
    assert "not of this request (run, model, revision, items)" in caplog.text


def test_one_model_is_the_highest_of_nothing(folder: Path, tmp_path: Path) -> None:
    few = ("--no-published", "--no-random-init", "--pool", "mean", "--models", str(folder / "one"))
    assert main(options(folder, tmp_path, *few)) == 0
    summary = json.loads((tmp_path / "x" / "summary.json").read_text())
    said = " ".join(summary["headline"])
    assert "Baseline model" not in said and "Lowest" not in said and "of one model" not in said
    assert "Under one shuffle of the labels" in said and "exclude 0.5" in said
    missing = frame(tmp_path / "x", "missing")
    unsourced = missing[missing["what"].str.startswith("equal source")]
    assert unsourced["reason"].tolist() == ["the data names no source with both labels"]
    assert summary["counts"]["rows of missing.csv"] == len(missing)


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
        (("--limit", "2"), "2 items of each axiom and label are too few: --samples or --limit"),
        (("--depth", "1"), "outside 0"),
        (("--gamma", "2"), "between 0 and 1"),
        (("--reference", "nowhere"), "is not a finished run"),
        (("--dry-run", "--reference", "nowhere"), "is not a finished run"),
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

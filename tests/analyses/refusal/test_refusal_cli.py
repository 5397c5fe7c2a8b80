"""`python -m analyses.refusal`: what it writes, and what it survives."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from refusal_runs import (
    BAD_INPUT,
    INTERRUPTED,
    OK,
    SOME_FAILED,
    Program,
    begun,
    cut_within,
    everything,
)
from small_runs import frame, rows, tables

from figures.rows import records, select

SMALLEST = "--methods dim --depths 0.4 --doses 0.05 --random-directions 0 --skip-verification"
COLUMNS = {
    "verdicts": {"model", "family", "method", "choice", "verdict", "uncertain", "layer", "dose"}
    | {"depth_percent", "position", "dose_raw", "dose_unit", "dose_residual", "n", "coherent"}
    | {"coherent_low", "coherent_high", "garbled", "unsteered", "random_highest", "random_mean"}
    | {"random_same_dose_highest", "random_same_dose_mean", "shuffled", "layer_pattern"}
    | {"kl", "nll", "nll_untouched"},
    "agreement": {"model", "first", "second", "difference", "mcnemar_p", "disagree"},
    "side_effects": {"model", "source", "depth", "dose", "kl", "nll", "nll_untouched"},
    "decisions": {"point", "about", "action", "reason"},
    "bypass": {"model", "kind", "source", "depth", "layer", "dose", "kl", "nll", "nll_untouched"}
    | {"refusal_before", "refusal_after", "fewer_refusals", "n", "normal", "garbled"},
    "conditions": {
        "model",
        "family",
        "phase",
        "quantization",
        "source",
        "depth",
        "layer",
        "position",
        "dose",
    }
    | {"dose_raw", "dose_unit", "dose_residual", "n", "coherent", "coherent_low", "coherent_high"}
    | {"garbled", "normal", "refusal_strict", "refusal_seed", "refusal_arditi"},
    "bypass_controls": {"model", "kind", "source", "layer", "dose", "kl", "refusal_after", "n"},
    "directions": {"model", "source", "depth", "layer", "position", "score", "kl", "note"},
    "selection": {"model", "method", "layer", "position", "comply", "refuse", "bypass", "induce"},
    "cosines": {"model", "state", "depth_percent", "cosine"},
    "samples": {
        "model",
        "phase",
        "quantization",
        "kind",
        "source",
        "depth",
        "dose",
        "prompt",
        "response",
    }
    | {"quality", "strict", "seed", "arditi"},
    "missing": {"what", "id", "reason"},
}


# --- a whole run ----------------------------------------------------------------------------------


def test_a_run_leaves_tables_with_their_columns_and_a_summary(whole: Path) -> None:
    assert tables(whole).keys() == {f"{name}.csv" for name in COLUMNS}
    for name, columns in COLUMNS.items():
        assert columns <= set(frame(whole, name)), name
    for name in COLUMNS.keys() - {"missing", "decisions"}:
        assert set(frame(whole, name)["model"]) == {"tiny", "other"}, name
    summary = json.loads((whole / "summary.json").read_text())
    counts = {"models attempted": 2, "models measured": 2, "missing": 0, "test prompts": 4}
    assert summary["counts"] == counts
    decided = len(frame(whole, "decisions"))
    assert len(summary["headline"]) == 1 + 2 * 2 + 4 + 2 + decided
    log = (whole / "FINDINGS_LOG.md").read_text()
    assert log.startswith("## families, run x") and log.count("\n* **") == decided


def test_the_samples_are_all_answers_of_the_test_phases_word_for_word(whole: Path) -> None:
    table = frame(whole, "samples")
    said = [
        answer["text"]
        for model in ("tiny", "other")
        for phase in ("test", "harmful", "bypass test")
        for row in rows(whole, model)
        if row["key"].partition("|")[0] == phase
        for answer in row["answers"]
    ]
    assert table["response"].fillna("").tolist() == said
    assert any(set(text) & set('\n\r",') for text in said)  # where a table of text goes wrong


def test_every_condition_is_in_the_tables(whole: Path) -> None:
    table = frame(whole, "conditions")
    mine = select(table.fillna(""), model="tiny")
    screened, searched = (places(mine, phase) for phase in ("screen", "search"))
    everything = {
        (name, depth, dose)
        for name in ("dim", "cosmic", "shuffled", "random 0")
        for depth in ("0.4", "0.6")
        for dose in (0.05, 0.1)
    }
    assert everything <= screened and {key[1] for key in screened - everything} <= {"free"}
    # One dose of each method at each depth goes on, and as many conditions of each control.
    assert searched < screened
    kept = [(name, depth) for name, depth, _ in searched]
    for method in ("dim", "cosmic"):
        assert [kept.count((method, depth)) for depth in ("0.4", "0.6")] == [1, 1]
    for control in ("shuffled", "random 0"):
        assert [name for name, _ in kept].count(control) == 2
    tested = records(select(mine, phase="test"))
    sources = [r["source"] for r in tested]
    assert [sources.count(name) for name in ("none", "shuffled")] == [1, 1]
    # At its own best, and as long as each method's best directions at the same places.
    choices = frame(whole, "verdicts").query("model == 'tiny'")
    assert len([r for r in tested if r["source"] == "random 0"]) == 1 + len(choices)
    for method in ("dim", "cosmic"):
        own = [r for r in tested if r["source"] == method]
        assert {r["depth"] for r in own} >= {"0.4", "0.6"}
        choices = 1 + any(r["depth"] == "free" for r in own)
        assert len([r for r in own if r["dose"] < 0]) == choices
        (best,) = records(select(frame(whole, "verdicts"), model="tiny", method=method, **AT_DEPTH))
        (like,) = (r for r in tested if r["depth"] == f"as {method}|{best['depth']}")
        assert like["dose_unit"] == pytest.approx(best["dose_unit"])
        assert (like["layer"], like["position"]) == (best["layer"], best["position"])
    assert mine[mine["phase"] == "harmful"]["source"].tolist() == ["none"]
    assert set(mine["n"][mine["phase"] == "screen"]) == {2}
    assert set(mine["n"][mine["phase"] != "screen"]) == {4}


AT_DEPTH = {"choice": "best depth on validation"}


def places(table: pd.DataFrame, phase: str) -> set[tuple[str, str, float]]:
    mine = select(table, phase=phase)
    return set(zip(mine["source"], mine["depth"], mine["dose"], strict=True))


def test_no_prompt_is_chosen_with_and_measured_on(whole: Path, checkpoints: Any) -> None:
    from analyses.refusal import Families
    from analyses.refusal.plan import make_plan

    sizes: dict[str, Any] = {"selection_prompts": 4, "validation_prompts": 4, "test_prompts": 4}
    found = make_plan(Families(models=(str(checkpoints[0]),), **sizes)).prompts
    wanted = {
        "screen": found.search[1][:2],
        "search": found.search[1],
        "test": found.test[1],
        "harmful": found.test[0],
        "bypass search": found.search[0],
        "bypass test": found.test[0],
    }
    seen: dict[str, set[tuple[str, ...]]] = {}
    for row in rows(whole):
        asked = tuple(answer["id"] for answer in row.get("answers", ()))
        seen.setdefault(row["key"].partition("|")[0], set()).add(asked)
    # Ways that spoil neutral texts are asked nothing while they are searched.
    seen["bypass search"] -= {()}
    for phase, requests in wanted.items():
        assert seen[phase] <= {tuple(request.id for request in requests)}, phase
        assert seen[phase] or phase == "bypass search"


def test_side_effects_that_choose_and_those_that_are_reported_are_on_other_texts(
    whole: Path,
) -> None:
    chosen = {r["key"].split("|", 1)[1]: r for r in rows(whole) if r["key"][:8] == "bypass s"}
    for row in rows(whole):
        if row["key"].startswith("bypass test") and not row["source"].startswith("random"):
            assert row["nll_untouched"] != chosen[row["key"].split("|", 1)[1]]["nll_untouched"]


# --- going on -------------------------------------------------------------------------------------


def test_a_finished_run_is_not_loaded_or_measured_again(program: Program, whole: Path) -> None:
    begun(whole, program.path(), everything)
    start = program("--skip-verification")
    assert start.status == OK and start.loaded == ()
    assert tables(program.path()) == tables(whole)


@pytest.mark.parametrize(
    "phase", ["score|dim", "screen|", "search|", "test|", "without|affine", "bypass search|"]
)
def test_a_killed_run_is_completed_with_the_same_bytes(
    phase: str, program: Program, whole: Path
) -> None:
    run = begun(whole, program.path(), cut_within(phase))
    start = program("--skip-verification")
    assert start.status == OK and start.loaded == ("tiny",)
    assert tables(run) == tables(whole)
    assert rows(run) == rows(whole)


def failing_at(call: int, error: BaseException) -> Callable[..., Any]:
    """`say`, whose nth call raises."""
    from analyses.refusal.saying import say

    calls = iter(range(1, 1000))

    def act(*args: Any, **options: Any) -> Any:
        if next(calls) == call:
            raise error
        return say(*args, **options)

    return act


def test_a_run_that_was_interrupted_goes_on_from_there(
    program: Program, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(whole, program.path(), cut_within("search|"))
    with monkeypatch.context() as patch:
        # The smoke test says something first, then come all of the search, then the tests.
        patch.setattr("analyses.refusal.measuring.say", failing_at(3, KeyboardInterrupt()))
        start = program("--skip-verification")
    assert start.status == INTERRUPTED and "the same command goes on from there" in start.log
    assert not (run / "summary.json").exists()
    before = rows(run)
    assert {row["key"].split("|")[0] for row in before} == {"score", "screen", "search"}

    start = program("--skip-verification")
    assert start.status == OK and start.loaded == ("tiny",)
    assert tables(run) == tables(whole)
    assert rows(run)[: len(before)] == before


def test_a_model_whose_answers_fail_is_a_row_and_measured_at_the_next_start(
    program: Program, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(whole, program.path(), cut_within("test|"))
    with monkeypatch.context() as patch:
        patch.setattr("analyses.refusal.measuring.say", failing_at(2, RuntimeError("no kernel")))
        start = program("--skip-verification")
    assert start.status == SOME_FAILED and start.loaded == ("tiny",)
    missing = frame(run, "missing")
    (reason,) = missing[missing["what"] == "model"]["reason"]
    assert "of test failed: RuntimeError: no kernel" in reason
    assert set(frame(run, "verdicts")["model"]) == {"other"}

    start = program("--skip-verification")
    assert start.status == OK and start.loaded == ("tiny",)
    assert tables(run) == tables(whole)


def test_models_side_by_side_give_the_same_tables(program: Program, whole: Path) -> None:
    start = program("--skip-verification", "--executor", "processes", "--workers", 2)
    assert start.status == OK and start.loaded == ()  # not in this process
    assert tables(program.path()) == tables(whole)


# --- models that cannot be measured ---------------------------------------------------------------


def test_a_model_that_cannot_be_loaded_is_a_row_and_the_others_are_measured(
    program: Program, checkpoints: tuple[Path, ...], tmp_path: Path
) -> None:
    torn, odd = tmp_path / "torn", tmp_path / "odd"
    for folder in (torn, odd):
        shutil.copytree(checkpoints[0], folder)
    os.truncate(torn / "model.safetensors", 5000)
    (odd / "config.json").write_text('{"model_type": ')
    start = program(*SMALLEST.split(), models=(torn, checkpoints[0], odd))
    assert start.status == SOME_FAILED and start.loaded == ("torn", "tiny")
    missing = frame(program.path(), "missing")
    reasons = missing[missing["what"] == "model"].set_index("id")["reason"].to_dict()
    assert reasons.keys() == {"torn", "odd"}
    assert "cannot load torn" in reasons["torn"]
    assert "cannot read the configuration" in reasons["odd"]
    assert set(frame(program.path(), "verdicts")["model"]) == {"tiny"}
    summary = json.loads((program.path() / "summary.json").read_text())
    assert (summary["counts"]["models attempted"], summary["counts"]["missing"]) == (3, 2)


def test_where_no_model_can_be_measured_every_reason_is_said(
    program: Program, checkpoints: tuple[Path, ...], tmp_path: Path
) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(checkpoints[0], torn)
    os.truncate(torn / "model.safetensors", 5000)
    start = program(*SMALLEST.split(), models=(torn,))
    assert start.status == SOME_FAILED and start.out == ""
    assert "no model could be measured" in start.log and "cannot load torn" in start.log
    assert not (program.path() / "summary.json").exists()


# --- verification first ---------------------------------------------------------------------------


def remembered(program: Program, **known: object) -> None:
    program.folder.mkdir(parents=True, exist_ok=True)
    (program.folder / "verified.json").write_text(json.dumps(known))


def test_a_sweep_starts_only_after_this_code_was_verified(program: Program, whole: Path) -> None:
    from analyses.refusal.verify import code_version

    start = program()
    assert start.status == BAD_INPUT and "was not run with this code" in start.log
    assert not program.folder.exists()
    remembered(program, passed=True, code=code_version()[:-1] + "x")
    start = program()
    assert start.status == BAD_INPUT and "was not run with this code" in start.log
    remembered(program, passed=False, code=code_version())
    start = program()
    assert start.status == BAD_INPUT and "verification of COSMIC has not passed" in start.log
    assert start.loaded == () and not program.path().exists()

    begun(whole, program.path(), everything)
    remembered(program, passed=True, code=code_version())
    assert program().status == OK
    summary = json.loads((program.path() / "summary.json").read_text())
    assert summary["banner"] is None  # verified, and no embedded model


def test_a_run_without_verification_says_so(whole: Path) -> None:
    banner = json.loads((whole / "summary.json").read_text())["banner"]
    assert "without a passed verification" in banner


def test_a_dry_run_is_not_below_what_is_done(program: Program, whole: Path) -> None:
    start = program("--dry-run")
    (line, _) = (x for x in start.out.splitlines() if "conditions searched" in x)
    searched, tested = (int(n) for n in line.rpartition(": ")[2].split(", "))
    done = [row["key"].partition("|")[0] for row in rows(whole)]
    # What a method chooses freely may be missing or chosen at a depth; nothing else may.
    assert 0 <= searched - done.count("screen") <= 4
    assert 0 <= tested - done.count("test") <= 6
    (line, _) = (x for x in start.out.splitlines() if "tokens generated, at most" in x)
    asked = {"screen": 4, "search": 6, "test": 6, "harmful": 6, "bypass search": 4}
    asked["bypass test"] = 6
    generated = [
        len(row["answers"]) * asked[row["key"].partition("|")[0]]
        for row in rows(whole)
        if "answers" in row
    ]
    generated += [2 * 5 * 2 * 2 * 20]  # kinds, layers, positions, prompts and tokens of candidates
    assert 0.6 < sum(generated) / int(line.rpartition(": ")[2].replace(",", "")) <= 1

"""`python -m analyses.homeostasis` on bad days: requests, files and texts that cannot be used."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from small_runs import frame, rows, tables

MEASURE = "analyses.homeostasis.recording.measure"
BAD_INPUT, SOME_FAILED, INTERRUPTED = 2, 3, 130


# What is asked for cannot be done.


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--model pocket-mistal", "unknown model 'pocket-mistal'; nearest names: pocket-mistral,"),
        ("--model ./nowhere", "unknown model './nowhere'"),
        ("--patch-depth 0.1", "patch layer 0 (depth 0.1) does not lie behind the early layer 1"),
        (
            "--early-depth 0.8",
            "patch layer 6 (depth 0.84375) does not lie behind the early layer 6",
        ),
        (
            "--patch-depth 0.9",
            "patch layer 7 leaves nothing downstream to measure: tiny has layers",
        ),
        ("--patch-depth 1", "depth 1.0 is outside 0 (first layer) to below 1 (the end)"),
        ("--early-depth -0.2", "depth -0.2 is outside 0 (first layer) to below 1 (the end)"),
        ("--window 300", "window=300 is longer than every prompt (at most 38 tokens here)"),
        ("--window 1", "window=1: a participation ratio needs at least 2 tokens"),
        ("--pairs 13", "13 pairs are asked for, and the bank supports 1 to 12"),
        ("--limit 0", "0 pairs leave nothing to measure: ask for at least 1"),
        ("--conditions patched,passiv", "unknown conditions ['passiv']; choose from patched,"),
        ("--resamples 20", "resamples=20: intervals need at least 100"),
        ("--preset sed", "unknown preset 'sed'; there is: seed"),
        ("--resume --fresh", "--resume and --fresh exclude each other: choose one"),
        ("--device cuda:99", "device 'cuda:99' is not there"),
        ("--device gpu", "unknown device 'gpu'; use auto, cpu, cuda, cuda:1"),
        ("--prompts bnk", "no bank is called 'bnk' (did you mean 'bank'?)"),
        ("--prompts nowhere.jsonl", "there is no file nowhere.jsonl; check the path"),
        ("--run a/b", "a run cannot be named 'a/b'"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_refused_in_one_sentence(
    options: str, sentence: str, program
):
    start = program(*options.split())
    assert start.status == BAD_INPUT and start.out == ""
    said = [line for line in start.log.splitlines() if sentence in line]
    assert len(said) == 1 and "Traceback" not in start.log
    assert not list(program.folder.rglob("rows.jsonl"))


def broken(checkpoint: Path, folder: Path, how: str) -> Path:
    shutil.copytree(checkpoint, folder)
    if how == "configuration":
        (folder / "config.json").unlink()
    elif how == "configuration cut short":
        (folder / "config.json").write_text('{"model_type": ')
    elif how == "weights":
        (folder / "model.safetensors").unlink()
    elif how == "weights cut short":
        os.truncate(folder / "model.safetensors", 5000)
    elif how == "tokenizer":
        for path in folder.glob("tokenizer*"):
            path.unlink()
    return folder


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("configuration", "has no config.json: pass a folder made by save_pretrained"),
        ("configuration cut short", "cannot read the configuration of"),
        ("weights", "has no *.safetensors weights: pass a complete checkpoint"),
        ("weights cut short", "cannot load tiny from"),
        ("tokenizer", "cannot load tiny from"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_is_named(
    how: str, sentence: str, program, tmp_path: Path
):
    folder = broken(program.checkpoint, tmp_path / "tiny", how)
    start = program("--model", folder)
    assert start.status == BAD_INPUT
    (said,) = (line for line in start.log.splitlines() if sentence in line)
    assert str(folder) in said and "Traceback" not in start.log


def test_a_model_that_cannot_be_run_does_not_keep_the_others_from_it(quick):
    options = ("--prompts", quick.bank, "--pairs", 2, "--resamples", 100, "--out", quick.folder)
    start = quick.plain("--models", "nowhere", quick.checkpoint, *options)
    assert start.status == BAD_INPUT
    assert "nowhere: unknown model 'nowhere'" in start.log and "report: " in start.out


def test_a_malformed_prompt_file_is_refused_with_the_line(program, tmp_path: Path):
    lines = program.bank.read_text().splitlines()
    for name, line, what in (
        ("json", '{"id": "r9"', "not JSON"),
        ("twice", lines[0], "stands on line 1 already"),
        ("blank", '{"id": "z", "group": "factual", "text": " "}', "'text' must be text"),
        ("group", '{"id": "z", "group": "odd", "text": "a"}', "the group 'odd' is not a shipped"),
    ):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join([*lines[:6], line, *lines[7:]]) + "\n")
        start = program("--prompts", path)
        assert start.status == BAD_INPUT
        assert f"{path}, line 7: " in start.log and what in start.log


def test_a_malformed_file_of_pairs_is_refused_with_the_line(program, tmp_path: Path):
    for name, content, what in (
        ("unknown", "base_id,rec_id\np1,r1\np2,r99\n", "line 3: the bank of 24 prompts has no id"),
        ("twice", "base_id,rec_id\np1,r1\np2,r1\n", "line 3: the prompt 'r1' stands on line 2"),
        ("swapped", "base_id,rec_id\nr1,p1\n", "line 2: base_id names 'r1', which is recursive"),
        ("columns", "base,rec\np1,r1\n", "line 2: columns base_id,rec_id or base_text,rec_text"),
        ("cells", "base_id,rec_id\np1\n", "line 2: 1 cells under 2 columns"),
    ):
        path = tmp_path / f"{name}.csv"
        path.write_text(content)
        start = program("--pairs-file", path)
        assert start.status == BAD_INPUT and f"{path}, {what}" in start.log, start.log


def test_a_number_of_pairs_beside_a_file_of_pairs_is_refused(program, tmp_path: Path):
    path = tmp_path / "mine.csv"
    path.write_text("base_id,rec_id\np1,r1\n")
    start = program("--pairs-file", path, "--pairs", 3)
    assert start.status == BAD_INPUT and "leave out --pairs; --limit takes the first" in start.log


def test_a_run_with_other_settings_is_not_mixed_with_this_one(
    program, begun: Callable[[int], Path], whole: Path
):
    run = begun(12)
    start = program("--window", 17)
    assert start.status == BAD_INPUT
    assert f"{run} holds a run with other settings (parameters.window: 16 → 17)" in start.log
    assert "--fresh (the old run is moved aside) or choose another --run" in start.log
    assert tables(run) == tables(whole)


def test_a_folder_with_somebody_s_files_in_it_is_left_alone(program):
    program.path().mkdir(parents=True)
    (program.path() / "thesis.tex").write_text("mine")
    for policy in ("--resume", "--fresh"):
        start = program(policy)
        assert start.status == BAD_INPUT and "holds thesis.tex but no spec.json" in start.log
    assert (program.path() / "thesis.tex").read_text() == "mine"


# Texts and activations that have no number.


def test_a_pair_with_too_short_a_text_is_missing_with_the_reason(quick, tmp_path: Path):
    pairs = [f"The harbour opened in {i},Notice how you read {i}" for i in range(4)]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["base_text,rec_text", *pairs, "Too short,Notice how you read"]))
    start = quick("--pairs-file", path)
    assert start.status == SOME_FAILED
    (missing,) = frame(quick.path(), "missing").to_dict("records")
    assert missing["what"] == "pair" and missing["reason"] == "9 tokens, the window is 16"
    assert len(frame(quick.path(), "pairs")) == 4


def with_nan(checkpoint: Path, folder: Path, letter: str | None) -> Path:
    """A checkpoint in which one letter (or every one) has no finite activations."""
    from tiny import tokenizer

    shutil.copytree(checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    ids = slice(3, None) if letter is None else tokenizer().convert_tokens_to_ids(letter)
    weights["model.embed_tokens.weight"][ids] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


REASON = "values in the last 16 tokens are zero, NaN or infinite"


def test_pairs_with_undefined_activations_are_missing_and_change_no_other_pair(
    program, whole: Path, tmp_path: Path
):
    # The letter of sentence 17 only: texts hold the numbers 10 to 21.
    bank = tmp_path / "bank.jsonl"
    bank.write_text(program.bank.read_text().replace("sentence 17", "sentence 1#"))
    checkpoint = with_nan(program.checkpoint, tmp_path / "models" / "tiny", "#")
    start = program("--model", checkpoint, "--prompts", bank)
    run = program.path()
    assert start.status == SOME_FAILED, start.log
    (missing,) = frame(run, "missing").to_dict("records")
    assert missing["what"] == "pair" and missing["id"].endswith("|r7")
    assert missing["reason"] == REASON
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["counts"]["measured"], summary["counts"]["missing"]) == (11, 1)
    assert REASON in (run / "report.html").read_text()

    clean = frame(whole, "layers").query("donor_id != 'r7'").reset_index(drop=True)
    pd.testing.assert_frame_equal(frame(run, "layers"), clean)


def test_what_is_undefined_stays_missing_at_the_next_start_and_is_not_measured_again(
    program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoint = with_nan(program.checkpoint, tmp_path / "models" / "tiny", None)
    for _ in range(2):
        start = program("--model", checkpoint)
        assert start.status == SOME_FAILED
        assert f"none of 12 pairs could be measured: {REASON}" in start.log
        assert [row["reason"] for row in rows(program.path())] == [REASON] * 12
        monkeypatch.setattr(MEASURE, None)
    assert not (program.path() / "summary.json").exists()

"""`python -m analyses.homeostasis` on bad days: one clear sentence each, and nothing lost."""

import errno
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
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


# Passes that fail.


Records = list[dict[str, Any]]
Measure = Callable[[Any, Sequence[Any], Any], Records]


def failing(when: Callable[[Sequence[Any]], bool], error: Callable[[], BaseException]) -> Measure:
    """`measure`, except that some batches raise."""
    from analyses.homeostasis.measure import measure

    def replaced(model: Any, pairs: Sequence[Any], setup: Any) -> Records:
        if when(pairs):
            raise error()
        return measure(model, pairs, setup)

    return replaced


def holds_r7(pairs: Sequence[Any]) -> bool:
    return any(pair.donor_id == "r7" for pair in pairs)


@pytest.mark.parametrize("error", [RuntimeError, IndexError])
def test_a_pass_that_raises_is_recorded_and_tried_again_at_the_next_start(
    error: type[Exception], quick, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(MEASURE, failing(holds_r7, lambda: error("no such kernel\nand more")))
        start = quick()
    assert start.status == SOME_FAILED
    assert f"2 pairs failed: {error.__name__}: no such kernel" in start.log
    missing = frame(quick.path(), "missing")
    assert list(missing["reason"]) == [f"{error.__name__}: no such kernel"] * 2
    assert "Traceback" in (quick.path() / "log.txt").read_text()

    assert quick().status == 0
    assert tables(quick.path()) == tables(whole)


def test_where_every_pass_raises_the_reason_is_said_and_the_next_start_begins_again(
    quick, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(MEASURE, failing(lambda _: True, lambda: RuntimeError("no such kernel")))
        start = quick()
    assert start.status == SOME_FAILED
    assert "none of 12 pairs could be measured: RuntimeError: no such kernel" in start.log
    assert not (quick.path() / "summary.json").exists()
    assert quick().status == 0
    assert tables(quick.path()) == tables(whole)


def cuda() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def cpu() -> Exception:
    return RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")


@pytest.mark.parametrize("error", [cuda, cpu])
def test_batches_that_do_not_fit_are_halved_and_the_numbers_stay(
    error: Callable[[], Exception], quick, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(MEASURE, failing(lambda pairs: len(pairs) > 3, error))
    start = quick("--batch-size", 8)
    assert start.status == 0
    for line in ("with 8 pairs: trying 4", "with 4 pairs: trying 2"):
        assert f"out of memory {line}" in start.log
    assert all(row["status"] == "ok" for row in rows(quick.path()))
    for name in ("layers", "pairs", "profile", "recovery"):
        ours, theirs = frame(quick.path(), name), frame(whole, name)
        pd.testing.assert_frame_equal(ours, theirs, check_exact=False, rtol=0, atol=1e-4)


def test_a_run_that_was_halved_is_cut_in_the_same_way_when_it_goes_on(
    quick, monkeypatch: pytest.MonkeyPatch
):
    crowded = failing(lambda pairs: len(pairs) > 3, cuda)
    options = ("--batch-size", 8, "--pairs", 8)
    with monkeypatch.context() as patch:
        patch.setattr(MEASURE, crowded)
        assert quick(*options, run="halved").status == 0

    seen = []

    def interrupted(model: Any, pairs: Sequence[Any], setup: Any) -> Records:
        seen.append(len(pairs))
        if seen.count(2) == 3:
            raise KeyboardInterrupt
        return crowded(model, pairs, setup)

    with monkeypatch.context() as patch:
        patch.setattr(MEASURE, interrupted)
        assert quick(*options).status == INTERRUPTED
    # Now with memory in plenty: the recorded plan counts, not what would fit today.
    batches: list[int] = []
    monkeypatch.setattr(MEASURE, failing(lambda pairs: batches.append(len(pairs)) or False, cuda))
    assert quick(*options).status == 0
    assert batches == [2, 2]
    assert rows(quick.path()) == rows(quick.path("halved"))
    assert tables(quick.path()) == tables(quick.path("halved"))


def test_the_memory_of_a_failed_pass_is_free_before_the_next_is_tried(
    quick, monkeypatch: pytest.MonkeyPatch
):
    from analyses.homeostasis.measure import measure

    held: list[weakref.ref[torch.Tensor]] = []

    def greedy(model: Any, pairs: Sequence[Any], setup: Any) -> Records:
        assert all(reference() is None for reference in held)
        if len(pairs) == 1:
            return measure(model, pairs, setup)
        activations = torch.zeros(10)
        held.append(weakref.ref(activations))
        raise cuda()

    gc.disable()  # so that only what is really let go counts
    monkeypatch.setattr(MEASURE, greedy)
    try:
        assert quick("--pairs", 4, "--batch-size", 4).status == 0
    finally:
        gc.enable()
    assert len(held) == 3


def test_a_single_pair_that_does_not_fit_is_a_failure_with_its_reason(
    quick, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(MEASURE, failing(holds_r7, cuda))
    start = quick()
    assert start.status == SOME_FAILED
    (missing,) = frame(quick.path(), "missing").to_dict("records")
    assert missing["id"].endswith("|r7")
    assert missing["reason"].startswith("OutOfMemoryError: CUDA out of memory.")


# The disk, the keyboard, another process.


def full_disk(monkeypatch: pytest.MonkeyPatch, module: str, at: int) -> None:
    """The disk is full from call number `at` of fsync in that module on."""
    calls = 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fake = type("os", (), {**vars(os), "fsync": staticmethod(fsync)})
    monkeypatch.setattr(f"tl_geometry.runs.{module}.os", fake)


def test_a_disk_that_is_full_while_measuring_loses_nothing_that_was_recorded(
    quick, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        full_disk(patch, "rowlog", at=3)
        start = quick()
    assert start.status == SOME_FAILED
    (said,) = (line for line in start.log.splitlines() if "the disk is full" in line)
    assert "while writing rows.jsonl; what was recorded before is intact" in said
    assert rows(quick.path()) == rows(whole)[:4]
    assert quick().status == 0
    assert tables(quick.path()) == tables(whole)


@pytest.mark.parametrize("at", [1, 5, 12])
def test_a_disk_that_is_full_while_writing_leaves_every_file_whole(
    at: int, quick, begun: Callable[[int], Path], whole: Path, monkeypatch: pytest.MonkeyPatch
):
    run = begun(12)
    with monkeypatch.context() as patch:
        full_disk(patch, "atomic", at)
        start = quick()
    assert start.status == SOME_FAILED and "the disk is full" in start.log
    assert tables(run) == tables(whole)
    assert quick().status == 0
    assert tables(run) == tables(whole)


def test_after_ctrl_c_the_same_command_goes_on_from_there(
    quick, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(MEASURE, failing(holds_r7, KeyboardInterrupt))
        start = quick()
    assert start.status == INTERRUPTED
    assert "what was measured is kept, and the same command goes on from there" in start.log
    kept = rows(quick.path())
    assert kept == rows(whole)[: len(kept)] and len(kept) < 12
    assert "interrupted" in (quick.path() / "log.txt").read_text()
    assert quick().status == 0
    assert tables(quick.path()) == tables(whole)


def test_ctrl_c_stops_all_models_not_just_the_one_at_work(
    quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = tmp_path / "other"
    shutil.copytree(quick.checkpoint, other)
    monkeypatch.setattr(MEASURE, failing(lambda _: True, KeyboardInterrupt))
    options = ("--prompts", quick.bank, "--pairs", 2, "--out", quick.folder)
    start = quick.plain("--models", quick.checkpoint, other, *options)
    assert start.status == INTERRUPTED
    assert [path.name.split("-")[0] for path in quick.folder.iterdir()] == ["tiny"]


def test_of_two_processes_on_one_folder_the_second_is_told_who_holds_it(quick, whole: Path):
    """The first is a real process, stopped in the middle; then it gets a real Ctrl-C."""
    command = [sys.executable, "-m", "analyses.homeostasis", *quick.options()]
    first = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A suite started in the background of a shell inherits that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    record = quick.path() / "tiny" / "rows.jsonl"
    while not record.exists() or len(record.read_bytes().splitlines()) < 3:
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    second = quick()
    first.send_signal(signal.SIGINT)
    first.send_signal(signal.SIGCONT)
    _, said = first.communicate()
    assert second.status == SOME_FAILED
    assert f"{quick.path()} is in use by process {first.pid} (since 20" in second.log
    assert "wait until it ends, stop it, or choose another --run" in second.log

    assert first.returncode == INTERRUPTED and "Traceback" not in said
    assert "stopped; what was measured is kept" in said
    kept = len(rows(quick.path()))
    assert quick().status == 0
    assert kept >= 2 and tables(quick.path()) == tables(whole)


def test_a_damaged_record_is_refused_with_the_line_and_fresh_is_the_way_out(
    quick, begun: Callable[[int], Path], whole: Path
):
    run = begun(12)
    record = run / "tiny" / "rows.jsonl"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join([*lines[:3], "%%%\n", *lines[4:]]))
    start = quick()
    assert start.status == BAD_INPUT and f"{record}, line 4 is not JSON" in start.log
    assert quick("--fresh").status == 0
    assert tables(run) == tables(whole)


N_RUNS = 5


def test_runs_killed_at_random_points_end_with_the_same_tables(
    checkpoint: Path, bank: Path, tmp_path: Path
):
    """Killed while measuring and while writing, by a helper that forks and so starts quickly."""
    helper = Path(__file__).parents[1] / "crashing_analysis.py"
    given = [str(tmp_path), str(checkpoint), str(bank), "0", str(N_RUNS)]
    done = subprocess.run(
        [sys.executable, str(helper), *given],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["kills"] >= 10 and counts["while measuring"] >= 3 and counts["writing"] >= 3
    whole = tmp_path / "whole"
    assert len(tables(whole)) == 8
    for number in range(N_RUNS):
        assert tables(tmp_path / str(number)) == tables(whole)
        assert rows(tmp_path / str(number)) == rows(whole)

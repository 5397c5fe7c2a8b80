"""`python -m analyses.homeostasis` where passes, disks and processes fail: nothing is lost."""

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
from small_runs import frame, rows, tables

MEASURE = "analyses.homeostasis.recording.measure"
BAD_INPUT, SOME_FAILED, INTERRUPTED = 2, 3, 130


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

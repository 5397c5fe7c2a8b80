"""The record of rows: nothing lost, nothing twice, nothing invented."""

import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_geometry.runs.rowlog import RowLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model" / "rows.jsonl"


def row(key: str, **fields):
    return {"key": key, **fields}


def test_rows_come_back_in_order_and_are_done(path: Path):
    log = RowLog(path)
    assert log.append([row("b", x=1), row("a", x=2)]) == 2
    log.append([row("c", x=3)])
    again = RowLog(path)
    assert again.rows() == log.rows() == [row("b", x=1), row("a", x=2), row("c", x=3)]
    assert again.done == {"a", "b", "c"}


def test_a_row_that_is_done_is_not_written_again(path: Path):
    log = RowLog(path)
    log.append([row("a", x=1), row("b", x=2)])
    content = path.read_bytes()
    assert log.append([row("a", x=99)]) == 0
    assert path.read_bytes() == content
    assert RowLog(path).append([row("a", x=99), row("c", x=3)]) == 1
    assert [r["x"] for r in RowLog(path).rows()] == [1, 2, 3]


def test_a_failed_row_is_tried_again_and_replaced_in_its_place(path: Path):
    log = RowLog(path)
    log.append([row("a", status="failed", reason="out of memory"), row("b", x=2)])
    assert log.done == RowLog(path).done == {"b"}
    log.append([row("a", x=1)])
    assert RowLog(path).rows() == [row("a", x=1), row("b", x=2)]
    assert log.done == RowLog(path).done == {"a", "b"}


def test_a_missing_row_is_done(path: Path):
    log = RowLog(path)
    log.append([row("a", status="missing", reason="prompt of 9 tokens, window of 16")])
    assert log.done == RowLog(path).done == {"a"}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_read_back_bit_for_bit(tmp_path_factory, value):
    log = RowLog(tmp_path_factory.mktemp("floats") / "rows.jsonl")
    log.append([row("a", x=value, xs=np.array([value, -value]))])
    (again,) = log.rows()
    assert (again["x"], again["xs"]) == (value, [value, -value])
    assert math.copysign(1, again["x"]) == math.copysign(1, value)


def test_nan_is_recorded_only_with_a_reason(path: Path):
    log = RowLog(path)
    with pytest.raises(ValueError, match=r"row a\.pr\[1\] is nan: .*a status and a reason"):
        log.append([row("fine", x=1), row("a", pr=[1.0, np.nan])])
    assert not path.exists() and not log.done  # checked before anything was written
    log.append([row("a", pr=[1.0, np.nan], status="missing", reason="constant activation")])
    assert RowLog(path).rows()[0]["pr"] == [1.0, None]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"key": "a", "x": math.inf}, "row a.x is inf"),
        ({"key": "a", "x": math.inf, "status": "missing", "reason": "r"}, "row a.x is inf"),
        ({"key": "a", "status": "missing"}, "'missing' but gives no reason"),
        ({"key": "a", "status": "failed", "reason": ""}, "'failed' but gives no reason"),
        ({"x": 1}, "has the key None"),
        ({"key": ""}, "has the key ''"),
        ({"key": "a", "x": {1}}, "row a.x is a set"),
    ],
)
def test_a_row_that_cannot_be_recorded_is_refused(path: Path, bad, message):
    with pytest.raises(ValueError, match=message):
        RowLog(path).append([bad])
    assert not path.exists()


def test_a_key_twice_in_one_call_is_refused(path: Path):
    with pytest.raises(ValueError, match="occurs twice .*: b$"):
        RowLog(path).append([row("a"), row("b"), row("b")])


def test_wherever_the_file_is_cut_the_whole_lines_before_survive(path: Path):
    RowLog(path).append([row("a", x=1.5), row("b", text="ü\n"), row("c", xs=[0.1, 0.2])])
    content = path.read_bytes()
    whole = RowLog(path).rows()
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        log = RowLog(path)
        assert log.rows() == whole[: content[:cut].count(b"\n")]
        log.append(whole)
        assert path.read_bytes() == content


def test_a_damaged_line_in_the_middle_is_named(path: Path):
    RowLog(path).append([row("a"), row("b"), row("c")])
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged, what in (
        (b'{"key": "b', "is not JSON"),
        (b'{"x": 1}', "has no key"),
        (b"[]", "has no key"),
    ):
        path.write_bytes(lines[0] + damaged + b"\n" + lines[2])
        with pytest.raises(ValueError, match=f"rows.jsonl, line 2 {what}.*--fresh"):
            RowLog(path)
    assert path.read_bytes().startswith(lines[0])


def test_a_damaged_last_line_that_ends_is_named_and_not_dropped(path: Path):
    RowLog(path).append([row("a")])
    with path.open("ab") as file:
        file.write(b"\0\0\0\n")
    with pytest.raises(ValueError, match="line 2 is not JSON"):
        RowLog(path)


def test_rows_are_on_the_disk_before_append_returns(path: Path, monkeypatch):
    synced = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    RowLog(path).append([row("a")])
    assert synced == [path.stat().st_ino, path.parent.stat().st_ino]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space"), KeyboardInterrupt()])
def test_a_write_that_breaks_off_leaves_the_record_as_it_was(path: Path, monkeypatch, error):
    log = RowLog(path)
    log.append([row("a", x=1)])
    content = path.read_bytes()
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        write(descriptor, data[: len(data) // 2])
        raise error

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(type(error)) as caught:
        log.append([row("b", x=2)])
    if isinstance(error, OSError):
        assert "the disk is full" in str(caught.value) and "rows.jsonl" in str(caught.value)
    monkeypatch.undo()
    assert path.read_bytes() == content
    assert log.done == {"a"}
    log.append([row("b", x=2)])
    assert [r["key"] for r in RowLog(path).rows()] == ["a", "b"]


def test_a_write_in_small_pieces_is_completed(path: Path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    RowLog(path).append([row("a", text="longer than seven bytes")])
    assert json.loads(path.read_bytes())["text"] == "longer than seven bytes"

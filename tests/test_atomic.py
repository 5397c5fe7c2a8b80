"""Files are wholly old or wholly new, and numbers in them are the numbers that were written."""

import errno
import io
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file

from tl_geometry.runs import atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_only_when_the_block_ends(tmp_path: Path):
    path = tmp_path / "result.txt"
    atomic.write_text(path, "old")
    with atomic.atomic_write(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["result.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_no_rubbish(tmp_path: Path, error):
    path = tmp_path / "result.txt"
    atomic.write_text(path, "old")
    with pytest.raises(error), atomic.atomic_write(path) as partial:
        partial.write_text("half of the n")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["result.txt"]


def test_the_bytes_are_on_the_disk_before_the_name_changes(tmp_path: Path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("replace"), replace(a, b)))
    atomic.write_text(tmp_path / "a", "text")
    assert order == ["fsync", "replace", "fsync"]  # the file, its new name, the folder


def test_a_new_file_may_be_read_by_whom_the_umask_allows(tmp_path: Path):
    (tmp_path / "plain").write_text("")
    atomic.write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(tmp_path: Path, monkeypatch, code):
    path = tmp_path / "table.csv"
    atomic.write_text(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match="the disk is full .*while writing table.csv; .*free"
    ) as caught:
        atomic.write_table(path, pd.DataFrame({"a": [1]}))
    assert caught.value.errno == code
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """A real refusal of the operating system in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_the_system_stops_half_way_loses_nothing(tmp_path: Path):
    path = tmp_path / "table.csv"
    atomic.write_text(path, "old")
    with file_size_limit(1000), pytest.raises(OSError, match="the disk is full .*free some space"):
        atomic.write_table(path, pd.DataFrame({"a": range(10_000)}))
    with file_size_limit(1000), pytest.raises(OSError, match="the disk is full .*free some space"):
        atomic.save_arrays(tmp_path / "big.safetensors", {"a": np.zeros(10_000)})
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_other_errors_keep_their_own_words(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="directory|exists"):
        atomic.write_text(tmp_path / "file" / "below", "text")


@given(st.lists(st.floats(allow_infinity=False), min_size=1))
def test_a_table_gives_back_every_float_exactly(values):
    table = pd.DataFrame({"x": values})
    text = table.to_csv(index=False, lineterminator="\n")
    again = pd.read_csv(io.StringIO(text), float_precision="round_trip", skip_blank_lines=False)
    np.testing.assert_array_equal(again["x"].to_numpy(float), values)


def test_a_table_on_disk_is_plain_csv(tmp_path: Path):
    path = tmp_path / "tables" / "t.csv"
    atomic.write_table(path, pd.DataFrame({"x": [0.1, np.nan], "name": ["a,b", "ü"], "n": [1, 2]}))
    assert path.read_bytes() == 'x,name,n\n0.1,"a,b",1\n,ü,2\n'.encode()


TEXTS = st.text(st.sampled_from('ab,"\r\n ü'), min_size=1)


@given(st.lists(TEXTS, min_size=1), TEXTS)
@example(["x\ry", "\r", "\r\n", "end\r\n", "\n\r"], "na\rme")
def test_a_table_gives_back_every_text_exactly(tmp_path_factory, texts, name):
    path = tmp_path_factory.mktemp("texts") / "t.csv"
    atomic.write_table(path, pd.DataFrame({name: texts, "n": range(len(texts))}))
    again = pd.read_csv(path, keep_default_na=False)
    assert list(again.columns) == [name, "n"]
    assert again[name].tolist() == texts and again["n"].tolist() == list(range(len(texts)))


def test_an_index_with_information_in_it_is_refused(tmp_path: Path):
    table = pd.DataFrame({"x": [1, 2]}, index=["a", "b"])
    with pytest.raises(ValueError, match="t.csv has an index of its own: call reset_index"):
        atomic.write_table(tmp_path / "t.csv", table)


def test_json_keeps_numbers_and_turns_nan_into_null(tmp_path: Path):
    path = tmp_path / "s.json"
    atomic.write_json(path, {"x": np.float64(1 / 3), "gone": np.nan, "who": "ü"})
    assert json.loads(path.read_text()) == {"x": 1 / 3, "gone": None, "who": "ü"}
    with pytest.raises(ValueError, match=r"s\.json\.x is inf"):
        atomic.write_json(path, {"x": np.inf})
    assert json.loads(path.read_text())["x"] == 1 / 3


def test_arrays_keep_type_and_bits(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    half = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    atomic.save_arrays(path, {"half": half.T, "whole": np.arange(3)})
    again = load_file(path)
    torch.testing.assert_close(again["half"], half.T, rtol=0, atol=0)
    assert again["half"].dtype == torch.bfloat16
    assert again["whole"].tolist() == [0, 1, 2]

"""Files that are either wholly the old ones or wholly the new ones, whatever happens meanwhile."""

import errno
import io
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save
from torch import Tensor

from tl_geometry.runs.canonical import plain

PARTIAL = ".partial"
"""Ending of files that are being written; one that is left over belongs to a killed process."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well.

    The bytes are on the disk before the name changes, and the name before the block is left. After
    an exception `path` is what it was. A full disk raises OSError in one clear sentence.
    """
    with space_needed(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
        try:
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(partial, path)
            sync_folder(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def space_needed(path: Path) -> Iterator[None]:
    """Say in one sentence that the disk is full, what is safe, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        sentence = (
            f"the disk is full ({os.strerror(error.errno or 0).lower()}) while writing "
            f"{path.name}; what was recorded before is intact: free some space and start the same "
            "command again"
        )
        raise OSError(error.errno, sentence, str(path)) from error


def sync_folder(folder: Path) -> None:
    """Make renamed and new files of a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as partial:
        partial.write_bytes(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Indented JSON; numbers exact, NaN as null (its reason belongs beside it), no infinities."""
    content = json.dumps(plain(value, path.name, nan_as_null=True), indent=2, ensure_ascii=False)
    write_text(path, content + "\n")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """CSV in which every float and text is read back as the same; NaN is an empty cell.

    ValueError for an index with information in it, which CSV readers would lose or misread.
    """
    if not table.index.equals(pd.RangeIndex(len(table))):
        raise ValueError(f"{path.name} has an index of its own: call reset_index() first")
    rows = _Rows()
    table.to_csv(rows, index=False, lineterminator="\r\n")
    write_text(path, rows.getvalue())


class _Rows(io.StringIO):
    """Rows that come one at a time, ending in CR LF, and are kept with LF.

    The writer quotes the characters of its own line ending and no others: with LF alone a bare
    carriage return in a text would go unquoted, and be read back as the end of the row.
    """

    def write(self, row: str, /) -> int:
        return super().write(row.removesuffix("\r\n") + "\n")


def save_arrays(
    path: Path,
    arrays: Mapping[str, Tensor | np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """A safetensors file; bfloat16 and other types of torch are kept."""
    tensors = {name: torch.as_tensor(array).contiguous().cpu() for name, array in arrays.items()}
    content = save(tensors, dict(metadata) if metadata else None)
    with atomic_write(path) as partial:
        partial.write_bytes(content)

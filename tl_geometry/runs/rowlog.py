"""An append-only record of rows that survives being killed at any moment."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tl_geometry.runs.atomic import space_needed, sync_folder
from tl_geometry.runs.canonical import plain

Row = Mapping[str, Any]


class RowLog:
    """One JSON object a line, each with a `key`; rows that are on record are not written again.

    Floats are read back as the same floats. NaN is recorded as null and only in a row that says
    why (a `status` other than "ok", and a `reason`); infinities are refused. A row of status
    "failed" does not count as done: a later row with its key takes its place.

    Opening drops a torn last line, which a killed process leaves, and refuses a file that is
    damaged anywhere else. One process at a time: the run's lock sees to that.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._done: set[str] = set()
        if path.exists():
            _drop_torn_line(path)
            self._done = {row["key"] for row in self.rows() if row.get("status") != "failed"}

    @property
    def done(self) -> frozenset[str]:
        """Keys that need no work any more."""
        return frozenset(self._done)

    def append(self, rows: Sequence[Row]) -> int:
        """Put rows on the disk, all of them before this returns; the number that was new.

        Rows whose key is done are skipped, so a batch that was cut short can simply be repeated
        whole. ValueError, before anything is written, for a row that cannot be recorded.
        """
        new = [row for row in rows if _key(row) not in self._done]
        if len({row["key"] for row in new}) < len(new):
            raise ValueError(f"a key occurs twice in the rows for {self.path.name}: {_twice(new)}")
        lines = [json.dumps(_recordable(row), allow_nan=False) + "\n" for row in new]
        if lines:
            self._write("".join(lines).encode())
            self._done.update(row["key"] for row in new if row.get("status") != "failed")
        return len(new)

    def rows(self) -> list[dict[str, Any]]:
        """All rows in the order in which their keys first came; of each key the latest."""
        latest: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            for number, line in enumerate(self.path.read_bytes().splitlines(), start=1):
                row = _parsed(line, self.path, number)
                latest[row["key"]] = row
        return list(latest.values())

    def _write(self, content: bytes) -> None:
        with space_needed(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            created = not self.path.exists()
            with self.path.open("ab", buffering=0) as file:
                before = file.tell()
                try:
                    written = 0
                    while written < len(content):
                        written += os.write(file.fileno(), content[written:])
                    os.fsync(file.fileno())
                except BaseException:
                    # Half a line must not stay in front of what this process may yet append.
                    file.truncate(before)
                    raise
            if created:
                sync_folder(self.path.parent)


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
            os.fsync(file.fileno())


def _parsed(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(_damaged(path, number, "is not JSON")) from error
    if not isinstance(row, dict) or not isinstance(row.get("key"), str):
        raise ValueError(_damaged(path, number, "has no key"))
    return row


def _damaged(path: Path, number: int, what: str) -> str:
    return (
        f"{path}, line {number} {what}: the file was damaged after it was written. Delete "
        "that line to have its row measured again, or start over with --fresh"
    )


def _key(row: Row) -> str:
    key = row.get("key")
    if not isinstance(key, str) or not key:
        raise ValueError(f"a row has the key {key!r}: every row needs a text that identifies it")
    return key


def _twice(rows: Sequence[Row]) -> str:
    keys = [row["key"] for row in rows]
    return next(key for key in keys if keys.count(key) > 1)


def _recordable(row: Row) -> dict[str, Any]:
    """The row as plain values; ValueError if something is missing in it without a reason."""
    status = row.get("status", "ok")
    if status != "ok" and not row.get("reason"):
        raise ValueError(f"row {row['key']} has status {status!r} but gives no reason")
    return plain(row, f"row {row['key']}", nan_as_null=status != "ok")

"""One process at a time in a folder."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tl_geometry.runs.atomic import write_json

LOCK, HOLDER = ".lock", ".lock.json"


class FolderBusyError(RuntimeError):
    """Another process works in the folder; the message says which, since when, and what to do."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; FolderBusyError at once if another one holds it.

    The lock belongs to the operating system, which drops it when its process ends, however it
    ends. The file beside it only tells people who the holder is; a stale one is no obstacle.
    """
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise FolderBusyError(
            f"{folder} is in use by {_holder(folder)}: wait until it ends, stop it, or choose "
            "another --run"
        ) from error
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        write_json(folder / HOLDER, {"pid": os.getpid(), "since": since})
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_bytes())
        return f"process {holder['pid']} (since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # which has not yet, or just no longer, written who it is

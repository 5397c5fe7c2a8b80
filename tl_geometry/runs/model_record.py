"""The part of a run that belongs to one model: what a worker process holds while it measures."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_geometry.runs import atomic
from tl_geometry.runs.canonical import plain
from tl_geometry.runs.folders import LOG, SPEC, read_json, slug
from tl_geometry.runs.lock import FolderBusyError, locked
from tl_geometry.runs.logs import logged
from tl_geometry.runs.rowlog import RowLog

PLAN = "plan.json"
POLL = 0.5
"""Seconds between two looks at a lock that somebody else holds."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelRecord:
    """One model's rows and batch plan, in a folder of its own that no other process writes to."""

    folder: Path
    rows: RowLog

    @property
    def plan(self) -> dict[str, Any]:
        """How this model's work is cut into batches; empty until it is recorded."""
        path = self.folder / PLAN
        return read_json(path) if path.exists() else {}

    def set_plan(self, plan: Mapping[str, Any]) -> None:
        if self.plan != plain(plan):
            atomic.write_json(self.folder / PLAN, plan)


@contextmanager
def open_model_record(run: Path, model: str, *, wait: float = 120) -> Iterator[ModelRecord]:
    """Hold one model's folder in the folder of a run that is open, perhaps in another process.

    Opening drops what a killed process left half-written; messages also go to the model's own
    log.txt. Meanwhile the process that opened the run leaves this model's rows alone. A process
    that was given up, on a machine that was lost, may hold the folder a little longer: after
    `wait` seconds FolderBusyError. ValueError where there is no run.
    """
    if not (run / SPEC).exists():
        raise ValueError(
            f"{run} holds no run, or none that this machine sees: begin one with open_run, in a "
            "folder that all machines share"
        )
    folder = run / slug(model)
    folder.mkdir(exist_ok=True)
    with _held(folder, wait):
        for left_over in folder.rglob(f".*{atomic.PARTIAL}"):
            left_over.unlink()
        with logged(folder / LOG):
            yield ModelRecord(folder, RowLog(folder / "rows.jsonl"))


@contextmanager
def _held(folder: Path, wait: float) -> Iterator[None]:
    until = time.monotonic() + wait
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(folder))
                break
            except FolderBusyError:
                if time.monotonic() >= until:
                    raise
                time.sleep(POLL)
        yield

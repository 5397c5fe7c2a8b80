"""An open run: what may be written into its folder, and how it is begun or taken up again."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from torch import Tensor

from tl_geometry.runs import atomic
from tl_geometry.runs.canonical import differences, plain
from tl_geometry.runs.environment import versions
from tl_geometry.runs.folders import (
    LOG,
    SPEC,
    make_run_folder,
    move_aside,
    read_json,
    refuse_foreign,
    slug,
)
from tl_geometry.runs.lock import locked
from tl_geometry.runs.logs import logged
from tl_geometry.runs.rowlog import RowLog
from tl_geometry.runs.spec import Spec

Policy = Literal["resume", "fresh", "skip"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """An open run; names of files are relative to its folder."""

    folder: Path
    spec: Spec
    measuring: bool
    """Whether rows may be added; False where the user chose to skip a run that had begun."""

    @property
    def about(self) -> dict[str, Any]:
        """spec.json: key, spec, versions, plan, and when the run began."""
        return read_json(self.folder / SPEC)

    @property
    def plan(self) -> dict[str, Any]:
        """How the work is cut into batches; followed on resuming, bytes come out identical.
        Empty until one is recorded."""
        return self.about["plan"]

    def set_plan(self, plan: Mapping[str, Any]) -> None:
        """Record a batch plan that was found only after the run was opened."""
        if (about := self.about)["plan"] != plain(plan):
            atomic.write_json(self.folder / SPEC, {**about, "plan": plan})

    def log(self, model: str) -> RowLog:
        """The rows of one model; opening it drops what a killed process left half-written."""
        return RowLog(self.model_folder(model) / "rows.jsonl")

    def model_folder(self, model: str) -> Path:
        return self.folder / slug(model)

    def write_table(self, name: str, table: pd.DataFrame) -> Path:
        """tables/<name>.csv"""
        path = self._path(f"tables/{name}.csv")
        atomic.write_table(path, table)
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """`summary.json`, written last and with the run's `key` in it, marks a run as finished."""
        path = self._path(name)
        atomic.write_json(path, value)
        return path

    def write_text(self, name: str, text: str) -> Path:
        path = self._path(name)
        atomic.write_text(path, text)
        return path

    def save_arrays(
        self,
        model: str,
        name: str,
        arrays: Mapping[str, Tensor | np.ndarray],
        metadata: Mapping[str, str] | None = None,
    ) -> Path:
        """<model>/artifacts/<name>.safetensors"""
        path = self._path(f"{slug(model)}/artifacts/{name}.safetensors")
        atomic.save_arrays(path, arrays, metadata)
        return path

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"{name} lies outside the run's folder; give a name inside it")
        return path


@contextmanager
def open_run(
    folder: Path,
    spec: Spec,
    *,
    policy: Policy = "resume",
    plan: Mapping[str, Any] | None = None,
) -> Iterator[Run]:
    """Hold a run's folder, begin or take up its record, and log to its log.txt meanwhile.

    "resume" goes on with what is there, "fresh" moves it aside and starts over, "skip" takes it as
    it is. `plan` is recorded when the run begins and is not part of its key. FolderBusyError if
    another process holds the folder; ValueError if the folder holds another run or is none.
    """
    if policy not in ("resume", "fresh", "skip"):
        raise ValueError(f"policy {policy!r} is unknown: choose resume, fresh or skip")
    make_run_folder(folder)
    with locked(folder):
        refuse_foreign(folder)
        if policy == "fresh":
            move_aside(folder)
        for left_over in folder.rglob(f".*{atomic.PARTIAL}"):
            left_over.unlink()
        begun = (folder / SPEC).exists()
        if begun:
            _refuse_other(folder, spec)
        if not begun:
            _begin(folder, spec, plan)
        with logged(folder / LOG):
            _greet(folder, begun=begun)
            yield Run(folder, spec, measuring=not (begun and policy == "skip"))


def _refuse_other(folder: Path, spec: Spec) -> None:
    recorded = read_json(folder / SPEC)
    if recorded.get("key") != spec.key:
        changed = differences(recorded.get("spec", {}), spec.as_dict())
        raise ValueError(
            f"{folder} holds a run with other settings ({'; '.join(changed)}): start over with "
            "--fresh (the old run is moved aside) or choose another --run"
        )


def _begin(folder: Path, spec: Spec, plan: Mapping[str, Any] | None) -> None:
    about = {
        "key": spec.key,
        "spec": spec.as_dict(),
        "plan": plan or {},
        "versions": versions(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    atomic.write_json(folder / SPEC, about)


def _greet(folder: Path, *, begun: bool) -> None:
    log.info("%s %s", "going on with the run" if begun else "new run", folder.name)
    if begun and (changed := differences(read_json(folder / SPEC).get("versions"), versions())):
        log.warning("the run began in another environment: %s", "; ".join(changed))

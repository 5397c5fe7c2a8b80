"""How long a model was measured and on what device, over all starts of its run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from tl_geometry.models import chosen_device
from tl_geometry.runs import ModelRecord, atomic
from tl_geometry.runs.folders import read_json, slug

FILE = "effort.json"


@dataclass(frozen=True)
class Effort:
    """Of one model. A process that was killed takes the seconds of its start with it."""

    seconds: float | None = None
    gpu: str = "cpu"
    """Its name, or `cpu`."""


@contextmanager
def timed(record: ModelRecord, device: str | None) -> Iterator[None]:
    """Add the seconds of the block to what earlier starts took, if it put anything on record.

    Beside the rows, not in them: those are the same bytes however often a run was interrupted.
    """
    before, began = len(record.rows.done), time.monotonic()
    try:
        yield
    finally:
        if len(record.rows.done) > before:
            seconds = (_read(record.folder).seconds or 0) + time.monotonic() - began
            about = {"seconds": round(seconds, 1), "gpu": _gpu(device)}
            atomic.write_json(record.folder / FILE, about)


def effort_of(run: Path, model: str) -> Effort:
    """Seconds are None where none were noted."""
    return _read(run / slug(model))


def _read(folder: Path) -> Effort:
    path = folder / FILE
    return Effort(**read_json(path)) if path.is_file() else Effort()


def _gpu(device: str | None) -> str:
    chosen = chosen_device(device)
    if chosen.startswith("cuda"):
        return torch.cuda.get_device_name(chosen)
    return torch.cuda.get_device_name() if chosen == "auto" and torch.cuda.is_available() else "cpu"

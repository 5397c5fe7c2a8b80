"""One model at several precisions: the same layer, dose and prompts, its own directions and those
of full precision."""

import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from analyses.refusal.by_size import VALIDATES, validated
from analyses.refusal.config import Quantization
from analyses.refusal.measuring import Measuring, Task, loaded, ok
from analyses.refusal.saying import Cell
from analyses.refusal.searched import Searched
from analyses.refusal.sources import Source
from analyses.refusal.subject import Subject
from analyses.work import why
from tl_geometry.directions import Direction

log = logging.getLogger(__name__)
OWN, CARRIED = "own", "carried"
"""A direction extracted at the precision that it steers; one carried over from full precision."""


@dataclass(frozen=True)
class Place:
    """What was chosen at full precision, on validation prompts."""

    depth: str
    layer: int
    position: int
    dose: float


def by_precision(job: Measuring) -> Searched:
    """Layer, position and dose are chosen at full precision; every precision is then measured at
    the same place, on the same test prompts. A precision that cannot be loaded is a reason."""
    config = job.task.config
    assert isinstance(config, Quantization)
    searched = validated(job)
    cell = searched.best(VALIDATES)
    source = cell.source
    assert source is not None
    place = Place(source.depth, source.layer, source.direction.position, cell.dose)
    missing = {}
    for precision in config.precisions:
        if reason := _measured(job, place, precision):
            missing[precision] = reason
    return replace(searched, missing=missing)


def _measured(job: Measuring, place: Place, precision: str) -> str:
    """The reason where this precision cannot be measured."""
    if f"precision|{precision}" in job.record.rows.done:
        return ""
    try:
        subject = job.subject if precision == "none" else _at(job.task, precision)
        direction, seconds = _extracted(subject, place)
    # Whatever a library for quantised weights raises: a row, and the others go on.
    except Exception as error:
        log.error("%s at %s: %s", job.task.model.name, precision, why(error), exc_info=True)
        return why(error)
    path = kept(job.record.folder, precision)
    path.parent.mkdir(exist_ok=True)
    direction.save(path)
    there = replace(job, subject=subject, label={"quantization": precision})
    cells = [Cell(None), Cell(_source(OWN, place, direction), place.dose)]
    if precision != "none":
        full = Direction.load(kept(job.record.folder, "none"))
        cells.append(Cell(_source(CARRIED, place, full), place.dose))
    there.say(f"test {precision}", {f"test|{precision}|{c.key}": c for c in cells}, "test")
    _noted(there, place, direction, seconds)
    return ""


def _at(task: Task, precision: str) -> Subject:
    config = replace(task.config, quantization=precision)
    return loaded(replace(task, config=config, subject=None))


def _extracted(subject: Subject, place: Place) -> tuple[Direction, float]:
    """DIM's direction at the place, and the seconds that both classes' passes took."""
    began = time.perf_counter()
    means = subject.means["dim"]
    seconds = time.perf_counter() - began
    return means.direction(place.layer + 1, place.position, "dim"), seconds


def _source(name: str, place: Place, direction: Direction) -> Source:
    return Source(name, place.depth, place.layer, direction)


def _noted(job: Measuring, place: Place, direction: Direction, seconds: float) -> None:
    precision = str(job.label["quantization"])
    about = {**asdict(place), "norm": direction.norm, "extraction_seconds": round(seconds, 3)}
    before = _before(job, precision)
    cosines = {name: float(direction.unit @ other.unit) for name, other in before.items()}
    row = ok({**job.label, **about, "cosines": cosines})
    job.record.rows.append([{"key": f"precision|{precision}", **row}])


def _before(job: Measuring, precision: str) -> dict[str, Direction]:
    """Directions of this precision and of all that are on record."""
    config, done = job.task.config, job.record.rows.done
    assert isinstance(config, Quantization)
    names = [n for n in config.precisions if n == precision or f"precision|{n}" in done]
    return {name: Direction.load(kept(job.record.folder, name)) for name in names}


def kept(folder: Path, precision: str) -> Path:
    """Where a model's direction at one precision is saved."""
    return folder / "artifacts" / f"dim-{precision}.safetensors"

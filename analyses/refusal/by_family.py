"""One family: depth, dose and method searched on validation prompts, then tested; and bypass."""

from collections.abc import Mapping, Sequence
from typing import Any

from analyses.refusal import bypass
from analyses.refusal.config import FREE, Families
from analyses.refusal.measuring import Measuring, ok
from analyses.refusal.saying import Cell
from analyses.refusal.searched import Searched, best_cell, coherent
from analyses.refusal.sources import random_like
from analyses.refusal.verdict import PARTIAL, WORKS
from tl_geometry.edits import Kind
from tl_geometry.selection import deepest

KINDS: tuple[Kind, ...] = ("linear", "affine")


def by_family(job: Measuring) -> Searched:
    """All that a family's verdict needs, on record afterwards."""
    config = job.task.config
    assert isinstance(config, Families)
    searched = job.search(config.depths_of(job.task.model.name), config.doses)
    if not config.one_round and in_part(searched, config.methods):
        searched = job.search(*_more(config, job.task.model.name), searched)
    if job.task.fallback:
        searched = job.search(*_everywhere(config, job.task.model.name), searched)
    _tested(job, searched)
    _bypassed(job, searched)
    return searched


def in_part(searched: Searched, methods: Sequence[str]) -> bool:
    """Whether some method reaches 20 % of coherent refusals on validation prompts, but not 60 %."""
    rates = [_best_rate(searched, method) for method in methods]
    return any(PARTIAL <= rate < WORKS for rate in rates)


def _best_rate(searched: Searched, method: str) -> float:
    rows = [row for row in searched.rows if row["source"] == method]
    return max(coherent(row) / len(row["answers"]) for row in rows)


def _more(config: Families, model: str) -> tuple[list[float], list[float]]:
    """Depths and doses with the extra ones."""
    depths, doses = {*config.depths_of(model), *config.extra_depths}, config.doses
    return sorted(depths), sorted({*doses, *config.extra_doses})


def _everywhere(config: Families, model: str) -> tuple[list[float], list[float]]:
    depths, doses = _more(config, model)
    return sorted({*depths, *config.fallback_depths}), sorted({*doses, *config.fallback_doses})


def _tested(job: Measuring, searched: Searched) -> None:
    """On test prompts: the model as it is; every method at every depth at its best dose, and its
    best with the other sign; random directions exactly as long at the same place; every control at
    *its* best depth and dose."""
    best = chosen_cells(job, searched)
    cells = [Cell(None), *best]
    for source in searched.sources:
        if source.name in job.task.config.methods:
            cells.append(best_cell(searched.rows, [source], searched.screened))
    for cell in best:
        cells.append(Cell(cell.source, -cell.dose))
    for cell in best:
        cells += _matched(job, cell)
    controls = [name for name in searched.names if name not in job.task.config.methods]
    cells += [searched.best(name) for name in controls]
    named = {f"test|{cell.key}": cell for cell in cells}
    job.say("test", named, "test")
    job.say("harmful", {"harmful|none": Cell(None)}, "harmful")
    job.effects([*best, *_matched(job, best[0])])


def chosen_cells(job: Measuring, searched: Searched) -> list[Cell]:
    """Of every method: at its best depth, and at the layer of its own rule if there is one."""
    found = []
    for method in job.task.config.methods:
        mine = [source for source in searched.sources if source.name == method]
        for own in (False, True):
            if among := [source for source in mine if (source.depth == FREE) == own]:
                found.append(best_cell(searched.rows, among, searched.screened))
    return found


def _matched(job: Measuring, cell: Cell) -> list[Cell]:
    assert cell.source is not None
    like = random_like(job.subject, cell.source, f"as {cell.source.key}")
    return [Cell(source, cell.dose) for source in like]


def _bypassed(job: Measuring, searched: Searched) -> None:
    """Refusal taken away from harmful requests: every way on validation, the best on test."""
    scores: dict[Kind, bypass.Answered] = {kind: _answered(job, kind) for kind in KINDS}
    induces = searched.best(job.task.config.methods[0]).source
    assert induces is not None
    ways = {way.key: way for way in bypass.ways(job.subject, searched.sources, induces, scores)}
    rows = _tried(job, "bypass search", ways, test=False)
    best = bypass.best(rows)
    tested = {bypass.key(row): ways[bypass.key(row)] for row in best.values()}
    null = {way.key: way for way in bypass.controls(job.subject, ways[bypass.chosen(best)])}
    _tried(job, "bypass test", tested | null, test=True)


def _answered(job: Measuring, kind: Kind) -> bypass.Answered:
    """What is answered without each candidate. The last fifth of the layers, which both rules leave
    out, writes words: taking "sorry" away there would be no removal of refusal."""

    def measure(batch: Sequence[int]) -> list[dict[str, Any]]:
        return [
            ok({"state": state, "answered": bypass.answered_without(job.subject, kind, state)})
            for state in batch
        ]

    states = range(1, deepest(job.subject.model.cfg.n_layers))
    items = {f"without|{kind}|{state}": state for state in states}
    rows = job.work(f"bypass candidates {kind}", items, 1, measure, "layer")
    return {row["state"]: row["answered"] for row in rows}


def _tried(
    job: Measuring, phase: str, ways: Mapping[str, bypass.Way], *, test: bool
) -> list[dict[str, Any]]:
    def measure(batch: Sequence[bypass.Way]) -> list[dict[str, Any]]:
        return [ok(bypass.tried(job.subject, way, test=test)) for way in batch]

    items = {f"{phase}|{key}": way for key, way in ways.items()}
    return job.work(phase, items, 1, measure, "way")

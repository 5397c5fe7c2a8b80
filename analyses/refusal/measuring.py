"""Measuring one model step by step; what its record already holds is not measured again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from analyses.budget import Deadline
from analyses.refusal.config import Steered
from analyses.refusal.effects import side_effects, steered_with
from analyses.refusal.plan import Prompts
from analyses.refusal.saying import Cell, say
from analyses.refusal.searched import Searched, ranked
from analyses.refusal.sources import (
    Source,
    as_scores,
    at_depths,
    controls,
    own_choices,
    states,
)
from analyses.refusal.subject import Subject
from analyses.requested import ModelPlan, load
from analyses.work import Result, without_nan, work_off
from tl_geometry.prompts import Request
from tl_geometry.runs import ModelRecord
from tl_geometry.selection import Scores

ROWS = 320
"""Rows a pass."""


@dataclass(frozen=True)
class Task:
    """Everything a worker needs to measure one model; it writes below that model's folder only."""

    folder: Path
    config: Steered
    model: ModelPlan
    prompts: Prompts
    subject: Subject | None = None
    """The model, where the caller has loaded it already (in this process)."""
    fallback: bool = False
    """Look everywhere: nothing was found in any model."""
    deadline: Deadline = Deadline()


def loaded(task: Task) -> Subject:
    if task.subject is not None:
        return task.subject
    return Subject(load(task.config, task.model.spec), task.config, task.prompts)


def smoke(subject: Subject) -> None:
    """One extraction and one steered token, before the long work. RuntimeError if wrong."""
    cfg, prompts = subject.model.cfg, subject.prompts
    shape = tuple(subject.means["dim"].difference.shape)
    wanted = (cfg.n_layers + 1, subject.n_positions, cfg.d_model)
    if shape != wanted:
        raise RuntimeError(f"extraction gives the shape {shape} instead of {wanted}")
    direction = subject.means["dim"].direction(cfg.n_layers // 2 + 1, -1)
    cell = Cell(Source("dim", "smoke", cfg.n_layers // 2, direction), subject.config.doses[0])
    (said,) = say(subject, [cell], prompts.search[1][:1], 1)
    if len(said["answers"]) != 1:
        raise RuntimeError("one steered token was asked for and none came")


@dataclass(eq=False)
class Measuring:
    """One model under way."""

    task: Task
    record: ModelRecord
    subject: Subject
    label: Mapping[str, Any] = field(default_factory=dict)
    """Said of every answer beside its condition."""

    def search(
        self, depths: Sequence[float], doses: Sequence[float], known: Searched | None = None
    ) -> Searched:
        """Every method at every depth, its own choice, and controls, at every dose; what is
        `known` is not tried again."""
        scores = {method: self.scores(method, depths) for method in self.task.config.methods}
        found = at_depths(self.subject, depths, scores)
        own, missing = own_choices(self.subject, scores)
        sources = [*found, *own, *controls(self.subject, found)]
        return self.tried(sources, doses, known, missing)

    def tried(
        self,
        sources: Sequence[Source],
        doses: Sequence[float],
        known: Searched | None = None,
        missing: Mapping[str, str] = MappingProxyType({}),
    ) -> Searched:
        """Directions at every dose, on validation prompts: short answers to a few first, then the
        best doses of each direction with long answers to all."""
        known = known or Searched((), (), {})
        every = {source.key: source for source in (*known.sources, *sources)}
        cells = [Cell(source, dose) for source in every.values() for dose in doses]
        new = {f"screen|{c.key}": c for c in cells if f"screen|{c.key}" not in known.keys}
        title = f"{len(every)} directions {len(doses)} doses"
        screened = [*known.screened, *self.say(f"screen {title}", new, "screen")]
        kept = [cell for group in self._groups(sources) for cell in self._kept(group, screened)]
        new = {f"search|{c.key}": c for c in kept if f"search|{c.key}" not in known.keys}
        rows = [*known.rows, *self.say(f"search {title}", new, "search")]
        return Searched([*every.values()], rows, missing, screened)

    def _groups(self, sources: Sequence[Source]) -> list[list[Source]]:
        """What is compared with each other: a method is reported at every depth, a control only
        where it is best."""
        groups: dict[str, list[Source]] = {}
        for source in sources:
            own = source.name in self.task.config.methods
            groups.setdefault(source.key if own else source.name, []).append(source)
        return list(groups.values())

    def _kept(self, group: Sequence[Source], screened: Sequence[Mapping[str, Any]]) -> list[Cell]:
        """The best of the group by the screening: as many a depth for controls as for methods."""
        kept = self.task.config.kept_doses * len(group)
        return ranked(screened, group, screened)[:kept]

    def scores(self, method: str, depths: Sequence[float]) -> Scores:
        """Scores of all candidates below the deepest allowed, and at these depths."""
        n_layers = self.subject.model.cfg.n_layers
        scorer = self.subject.scorer(method)
        wanted = states(depths, n_layers)

        def measure(batch: Sequence[int]) -> list[Result]:
            return [ok({"layer": layer, **scorer.scores(layer)}) for layer in batch]

        rows = {}
        # Each part of its own, so that a later search scores only what is new.
        for part in (states((), n_layers), sorted(set(wanted) - set(states((), n_layers)))):
            items = {f"score|{method}|{layer}": layer for layer in part}
            title = f"candidates {method} {part[0]}–{part[-1]}" if part else ""
            rows |= {row["layer"]: row for row in self.work(title, items, 1, measure, "layer")}
        return as_scores(rows)

    def say(self, phase: str, cells: Mapping[str, Cell], of: str) -> list[dict[str, Any]]:
        """Answers under each cell: to validation prompts (`of` screen or search), benign test
        prompts (`test`), or harmful ones (`harmful`)."""
        requests, new_tokens = self._asked(of)
        size = max(1, (self.task.config.batch_size or ROWS) // len(requests))

        def measure(batch: Sequence[Cell]) -> list[Result]:
            return [
                ok({**self.label, **row}) for row in say(self.subject, batch, requests, new_tokens)
            ]

        return self.work(phase, cells, size, measure, "condition")

    def _asked(self, of: str) -> tuple[Sequence[Request], int]:
        """Prompts, and how long answers to them may be."""
        config, prompts = self.task.config, self.task.prompts
        asked = {
            "screen": (prompts.search[1][: config.screen_prompts], config.screen_tokens),
            "search": (prompts.search[1], config.search_tokens),
            "test": (prompts.test[1], config.new_tokens),
            "harmful": (prompts.test[0], config.new_tokens),
        }
        return asked[of]

    def effects(self, cells: Sequence[Cell]) -> list[dict[str, Any]]:
        """What steering does to neutral texts that nothing was chosen on."""

        def measure(batch: Sequence[Cell]) -> list[Result]:
            return [ok(self._effect(cell)) for cell in batch]

        items = {f"effects|{cell.key}": cell for cell in cells}
        return self.work("side effects", items, 1, measure, "condition")

    def _effect(self, cell: Cell) -> dict[str, Any]:
        held = steered_with(self.subject, cell)
        found = side_effects(self.subject, held, self.subject.neutral[1])
        return {**cell.stated(self.subject), **vars(found)}

    def work(
        self, phase: str, items: Mapping[str, Any], size: int, measure: Any, unit: str
    ) -> list[dict[str, Any]]:
        """RuntimeError where anything failed: half a model is no result."""
        if not items:
            return []
        # A cut into batches is kept by its phase's name, and the fallback has more to do.
        phase = f"{phase} (fallback)" if self.task.fallback else phase
        title = f"{self.task.model.name} {phase}"
        about: Any = {"unit": unit, "title": title, "deadline": self.task.deadline}
        rows = work_off(self.record, self.record.rows, phase, items, size, measure, **about)
        if bad := [row["reason"] for row in rows if row["status"] != "ok"]:
            raise RuntimeError(f"{len(bad)} of {len(rows)} {unit}s of {phase} failed: {bad[0]}")
        return rows


def ok(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"status": "ok", "reason": "", **without_nan(row)}

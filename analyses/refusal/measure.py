"""All that is measured of one model; what its record already holds is not measured again."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyses.budget import Deadline, or_spent
from analyses.refusal import bypass
from analyses.refusal.config import Families
from analyses.refusal.effort import timed
from analyses.refusal.plan import Prompts
from analyses.refusal.saying import Cell, say
from analyses.refusal.sources import Source, as_scores, chosen, states
from analyses.refusal.subject import Subject
from analyses.refusal.verdict import preference
from analyses.requested import ModelPlan, load
from analyses.work import Result, why, without_nan, work_off
from tl_geometry.runs import ModelRecord, open_model_record

log = logging.getLogger(__name__)
DONE = "model"


@dataclass(frozen=True)
class Task:
    """Everything a worker needs to measure one model; it writes below that model's folder only."""

    folder: Path
    config: Families
    model: ModelPlan
    prompts: Prompts
    subject: Subject | None = None
    """The model, where the caller has loaded it already (in this process)."""
    deadline: Deadline = Deadline()

    @property
    def depths(self) -> tuple[float, ...]:
        return self.config.depths_of(self.model.name)


@or_spent
def measure_model(task: Task) -> str:
    """Measure, or go on; the reason where the model is not wholly measured, else empty."""
    with (
        open_model_record(task.folder, task.model.name) as record,
        timed(record, task.config.device),
    ):
        if DONE in record.rows.done:
            return ""
        task.deadline.check()  # before a model is loaded
        try:
            job = _Job(task, record, loaded(task))
            job.smoke()
        # Whatever loading or a model's own code raises: a row, and the others go on.
        except Exception as error:
            log.error("%s: %s", task.model.name, why(error), exc_info=True)
            return why(error)
        job.all()
    return ""


def loaded(task: Task) -> Subject:
    if task.subject is not None:
        return task.subject
    return Subject(load(task.config, task.model.spec), task.config, task.prompts)


@dataclass(eq=False)
class _Job:
    task: Task
    record: ModelRecord
    subject: Subject

    def smoke(self) -> None:
        """One extraction and one steered token, before the long work. RuntimeError if wrong."""
        cfg, prompts = self.subject.model.cfg, self.task.prompts
        shape = tuple(self.subject.means["dim"].difference.shape)
        wanted = (cfg.n_layers + 1, self.subject.n_positions, cfg.d_model)
        if shape != wanted:
            raise RuntimeError(f"extraction gives the shape {shape} instead of {wanted}")
        direction = self.subject.means["dim"].direction(cfg.n_layers // 2 + 1, -1)
        cell = Cell(Source("dim", "smoke", cfg.n_layers // 2, direction), self.task.config.doses[0])
        (said,) = say(self.subject, [cell], prompts.search[1][:1], 1)
        if len(said["answers"]) != 1:
            raise RuntimeError("one steered token was asked for and none came")

    def all(self) -> None:
        scores = {method: self._scores(method) for method in self.task.config.methods}
        sources, missing = chosen(self.subject, self.task.depths, scores)
        cells = [Cell(s, dose) for s in sources for dose in self.task.config.doses]
        searched = self._say("search", cells, 1, self.task.config.search_tokens)
        self._say("test", self._tested(sources, searched), 1, self.task.config.new_tokens)
        self._say("harmful", [Cell(None)], 0, self.task.config.new_tokens)
        ways = {way.key: way for way in bypass.ways(self.subject, sources)}
        rows = self._bypass("bypass search", ways, test=False)
        best = [_key(row) for row in bypass.best(rows).values()]
        self._bypass("bypass test", {key: ways[key] for key in best}, test=True)
        self.record.rows.append([self._done(sources, missing)])

    def _scores(self, method: str) -> Any:
        n_layers = self.subject.model.cfg.n_layers
        scorer = self.subject.scorer(method)
        layers = states(self.task.config, self.task.depths, n_layers)
        items = {f"score|{method}|{layer}": layer for layer in layers}

        def measure(batch: Sequence[int]) -> list[Result]:
            return [
                {"status": "ok", "reason": "", "layer": n, **without_nan(scorer.scores(n))}
                for n in batch
            ]

        rows = self._work(f"candidates {method}", items, 1, measure, "layer")
        return as_scores({row["layer"]: row for row in rows})

    def _tested(self, sources: Sequence[Source], searched: Sequence[Result]) -> list[Cell]:
        """What is measured on test prompts: the model as it is; every method at every depth at its
        best dose, and its best depth with the other sign; every control at *its* best depth."""
        by_name: dict[str, list[Source]] = {}
        for source in sources:
            by_name.setdefault(source.name, []).append(source)
        cells = [Cell(None)]
        for name, mine in by_name.items():
            best = best_cell(searched, mine)
            if name in self.task.config.methods:
                cells += [best_cell(searched, [source]) for source in mine]
                cells.append(Cell(best.source, -best.dose))
            else:
                cells.append(best)
        return cells

    def _say(
        self, phase: str, cells: Sequence[Cell], side: int, new_tokens: int
    ) -> list[dict[str, Any]]:
        requests = (self.task.prompts.search if phase == "search" else self.task.prompts.test)[side]
        rows = self.task.config.batch_size or 320

        def measure(batch: Sequence[Cell]) -> list[Result]:
            said = say(self.subject, batch, requests, new_tokens)
            return [{"status": "ok", "reason": "", **without_nan(row)} for row in said]

        items = {f"{phase}|{cell.key}": cell for cell in cells}
        return self._work(phase, items, max(1, rows // len(requests)), measure, "condition")

    def _bypass(
        self, phase: str, ways: Mapping[str, bypass.Way], *, test: bool
    ) -> list[dict[str, Any]]:
        def measure(batch: Sequence[bypass.Way]) -> list[Result]:
            return [
                {
                    "status": "ok",
                    "reason": "",
                    **without_nan(bypass.tried(self.subject, w, test=test)),
                }
                for w in batch
            ]

        items = {f"{phase}|{key}": way for key, way in ways.items()}
        return self._work(phase, items, 1, measure, "way")

    def _work(
        self, phase: str, items: Mapping[str, Any], size: int, measure: Any, unit: str
    ) -> Any:
        title = f"{self.task.model.name} {phase}"
        about: Any = {"unit": unit, "title": title, "deadline": self.task.deadline}
        rows = work_off(self.record, self.record.rows, phase, items, size, measure, **about)
        if bad := [row["reason"] for row in rows if row["status"] != "ok"]:
            raise RuntimeError(f"{len(bad)} of {len(rows)} {unit}s of {phase} failed: {bad[0]}")
        return rows

    def _done(self, sources: Sequence[Source], missing: Mapping[str, str]) -> dict[str, Any]:
        model, means = self.subject.model, self.subject.means
        tokens = [model.tokenizer.decode([i]) for i in self.subject.openers]
        both = (means[m].difference[:, -1] for m in ("dim", "cosmic"))
        cosines = [float(a @ b / (a.norm() * b.norm())) for a, b in zip(*both, strict=True)]
        return {
            "key": DONE,
            "status": "ok",
            "reason": "",
            "n_layers": model.cfg.n_layers,
            "n_positions": self.subject.n_positions,
            "refusal_tokens": tokens,
            "cosines": without_nan(cosines),
            "missing": dict(missing),
            "sources": [without_nan(_about(source)) for source in sources],
        }


def _about(source: Source) -> dict[str, Any]:
    direction = source.direction
    return {
        "source": source.name,
        "depth": source.depth,
        "layer": source.layer,
        "position": direction.position,
        "norm": direction.norm,
        "residual_norm": direction.provenance["residual_norm"],
        "score": direction.provenance.get("score"),
        "kl": direction.provenance.get("kl"),
        "note": source.note,
    }


def best_cell(searched: Sequence[Result], among: Sequence[Source]) -> Cell:
    """Direction and dose that are preferred by what they do on validation prompts."""
    sources = {(source.name, source.depth): source for source in among}
    mine = [row for row in searched if (row["source"], row["depth"]) in sources]
    best = min(mine, key=lambda row: preference(coherent(row), row))
    return Cell(sources[best["source"], best["depth"]], best["dose"])


def coherent(row: Mapping[str, Any]) -> int:
    return sum(answer["quality"] == "coherent" for answer in row["answers"])


def _key(row: Mapping[str, Any]) -> str:
    return f"{row['kind']}|{row['source']}|{row['depth']}|{row['dose']:g}"

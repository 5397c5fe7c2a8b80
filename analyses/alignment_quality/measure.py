"""One model: its spaces, and what is measured of each; on record row by row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from analyses.alignment_quality.cells import separations
from analyses.alignment_quality.draws import Draws, Row
from analyses.alignment_quality.matched import matched
from analyses.alignment_quality.plan import Plan
from analyses.alignment_quality.published import published
from analyses.alignment_quality.spaces import Spaces, kept_spaces
from analyses.requested import ModelPlan
from analyses.work import Result, without_nan, work_off
from tl_geometry.models import Model
from tl_geometry.runs import RowLog, Run

UNTRAINED = " (random weights)"


@dataclass(frozen=True)
class Job:
    """One model under way; its spaces are read, or measured, when they are needed."""

    plan: Plan
    record: Run
    name: str
    model: ModelPlan
    load: Callable[[], Model]
    draws: Draws

    @property
    def headline_layer(self) -> int:
        return self.plan.headline_layer(self.model)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """Random weights are asked at the headline's layer alone."""
        return (self.headline_layer,) if self.untrained else self.plan.layers(self.model)

    @property
    def untrained(self) -> bool:
        return self.name.endswith(UNTRAINED)

    @cached_property
    def rows(self) -> RowLog:
        return self.record.log(self.name)

    @cached_property
    def spaces(self) -> Spaces:
        config, items = self.plan.config, self.draws.items
        given = (self.layers, config.pool, config.max_length, config.batch_size)
        return kept_spaces(self.record, self.name, self.origin, self.load, items, *given)

    @property
    def origin(self) -> dict[str, str]:
        """Whose states they are, as their file says."""
        plan = self.plan
        about = {"model": self.name, "revision": self.model.revision}
        return {"run": plan.spec.key, **about, "items": plan.items.content_hash}

    def work(self, phase: str, items: dict[str, Any], measure: Callable[[Any], Row]) -> list[Row]:
        def one(batch: Sequence[Any]) -> list[Result]:
            return [{"status": "ok", "reason": "", **without_nan(measure(x))} for x in batch]

        title = f"{self.name} {phase}"
        found = work_off(self.record, self.rows, title, items, 1, one, unit="space", title=title)
        if bad := [row["reason"] for row in found if row["status"] != "ok"]:
            raise RuntimeError(f"{phase} of {self.name} failed: {bad[0]}")
        return found


def measured(job: Job) -> dict[str, list[Row]]:
    """Phase → rows. Raises what loading or measuring raises."""
    found = {"separation": _by_layer(job), "matched": _matched(job)}
    if job.untrained:
        return found
    found["controls"] = _controls(job)
    if job.plan.config.published:
        found["published"] = _published(job)
    return found


def _by_layer(job: Job) -> list[Row]:
    def measure(where: tuple[Any, int]) -> Row:
        pool, layer = where
        cells = separations(job.spaces.at(pool, layer), job.draws)
        return {"cells": cells, "pool": pool, "layer": layer}

    places = [(pool, layer) for pool in job.plan.config.pool for layer in job.layers]
    return job.work("separation", {f"separation|{p}|{n}": (p, n) for p, n in places}, measure)


def _controls(job: Job) -> list[Row]:
    """At the headline's layer: the same under labels that mean nothing."""

    def measure(pool: Any) -> Row:
        cells = separations(job.spaces.at(pool, job.headline_layer), job.draws.relabelled(7))
        return {"cells": cells, "pool": pool}

    pools = {f"labels shuffled|{pool}": pool for pool in job.plan.config.pool}
    return job.work("shuffled labels", pools, measure)


def _matched(job: Job) -> list[Row]:
    def measure(pool: Any) -> Row:
        space = job.spaces.at(pool, job.headline_layer)
        return {"subsets": matched(space, job.draws, job.spaces.lengths), "pool": pool}

    return job.work("matched", {f"matched|{pool}": pool for pool in job.plan.config.pool}, measure)


def _published(job: Job) -> list[Row]:
    def measure(reseed: int) -> Row:
        gamma = job.plan.config.gamma
        final = job.spaces.final.astype(np.float64)
        return {"rows": published(final, job.draws, gamma, reseed), "reseed": reseed}

    seeds = range(1 + job.plan.config.reseeds)
    return job.work("published AQI", {f"published|{k}": k for k in seeds}, measure)

"""Run the analysis: measure every model that can be, then tables over all, and a report."""

import gc
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from accelerate.utils.memory import clear_device_cache

from analyses.alignment_quality.cells import Headline, headline_of
from analyses.alignment_quality.config import Config
from analyses.alignment_quality.draws import Draws, Row
from analyses.alignment_quality.exported import export
from analyses.alignment_quality.measure import UNTRAINED, Job, measured
from analyses.alignment_quality.plan import Plan, folder_of, make_plan
from analyses.alignment_quality.reference import reference_of
from analyses.alignment_quality.spaces import effort
from analyses.alignment_quality.summary import summarize
from analyses.alignment_quality.tables import tables_of
from analyses.alignment_quality.words import WORDS, by_words
from analyses.requested import ModelPlan, load, random_twin
from analyses.results import Results
from analyses.work import why
from tl_geometry.models import Model
from tl_geometry.runs import Run, open_run

log = logging.getLogger(__name__)


@dataclass
class Found:
    """What was measured, model by model, and why others were not."""

    rows: dict[str, Mapping[str, list[Row]]] = field(default_factory=dict)
    headlines: dict[str, Headline] = field(default_factory=dict)
    effort: dict[str, Row] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run(config: Config) -> Results:
    """Measure, compare, draw; what the run's folder already holds is not measured again.

    A model that cannot be loaded or measured is a row with its reason. ValueError for a request
    that cannot be carried out, before any weight is loaded; RuntimeError if no model could be
    measured.
    """
    plan = make_plan(config)
    reference = reference_of(plan)
    with open_run(folder_of(plan), plan.spec, policy=config.policy) as record:
        started = time.monotonic()
        found = measure_all(plan, record)
        tables = tables_of(plan, found, reference)
        seconds = time.monotonic() - started
        summary = summarize(plan, found, tables, record, reference, seconds=seconds)
        for name, table in tables.items():
            record.write_table(name, table)
        record.write_json("summary.json", summary)  # last: it marks the run as finished
        from figures import redraw

        redraw(record.folder, export=config.export)
        export(plan, record, tables, found.effort)
    return Results(record.folder, tables, summary)


def measure_all(plan: Plan, record: Run) -> Found:
    """One model after the other, each given back before the next is loaded."""
    config, found = plan.config, Found()
    draws = Draws.of(plan.items.items, config.seed, config.resamples)
    for model in plan.models:
        if model.size is None:
            found.failed[model.name] = model.reason
            log.error("%s: %s", model.name, model.reason)
            continue
        _attempt(plan, record, model, model.name, partial(load, config, model.spec), draws, found)
        if config.random_init and model.name in found.rows and _tuned(plan, model):
            name = f"{model.name}{UNTRAINED}"
            _attempt(plan, record, model, name, partial(random_twin, config, model), draws, found)
    if not found.headlines:
        raise RuntimeError("no model could be measured: " + "; ".join(found.failed.values()))
    found.rows[WORDS] = by_words(record, plan, draws)
    return found


def _tuned(plan: Plan, model: ModelPlan) -> bool:
    """A base has the architecture, and so the random twin, of its instruct model."""
    return model.name not in {base.name for _, base in plan.pairs}


def _attempt(
    plan: Plan,
    record: Run,
    model: ModelPlan,
    name: str,
    load: Callable[[], Model],
    draws: Draws,
    found: Found,
) -> None:
    try:
        job = Job(plan, record, name, model, load, draws)
        found.rows[name] = measured(job)
        space = job.spaces.at(plan.config.pool[0], job.headline_layer)
        found.headlines[name] = headline_of(space, job.draws)
        found.effort[name] = effort(record, name)
    # Whatever loading or a model's own code raises: the other models can still be measured.
    except Exception as error:
        found.failed[name] = why(error)
        log.error("%s: %s", name, why(error), exc_info=True)
    finally:
        gc.collect()
        clear_device_cache(garbage_collection=True)

"""The step `validate`: add the vectors to the base model, and see what it does."""

import gc
import logging
import time
from collections.abc import Mapping

import numpy as np
import pandas as pd
from accelerate.utils.memory import clear_device_cache

from analyses.alignment_steering import validate_effects as effects
from analyses.alignment_steering.config import Validate
from analyses.alignment_steering.experiment import run as extract
from analyses.alignment_steering.tables import ranking
from analyses.alignment_steering.validate_plan import ValidatePlan, make_validate_plan
from analyses.alignment_steering.validate_summary import measured, summarize
from analyses.alignment_steering.validating import DONE, PairJob
from analyses.results import Results
from analyses.work import why
from figures.run_folder import read_tables
from tl_geometry.runs import Run, open_run, state

log = logging.getLogger(__name__)
Tables = dict[str, pd.DataFrame]


def run_validate(config: Validate) -> Results:
    """Measure, compare, draw; what the run's folder already holds is not measured again. Vectors
    that are not there are extracted first. Raises as `experiment.run`."""
    from figures import redraw

    began, plan = time.monotonic(), make_validate_plan(config)
    if plan.vectors.making and state(plan.vectors.folder) != "finished":
        log.info("the vectors are not there yet: extracting them")
        extract(plan.vectors.making.config)
    with open_run(plan.folder, plan.spec, policy=config.policy) as record:
        failed = _measured(plan, record)
        if len(failed) == len(plan.pairs):
            raise RuntimeError("no pair could be measured: " + "; ".join(failed.values()))
        tables = validate_tables(plan, record, failed)
        for name, table in tables.items():
            record.write_table(name, table)
        summary = summarize(plan, tables, record, seconds=time.monotonic() - began)
        record.write_json("summary.json", summary)
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)


def _measured(plan: ValidatePlan, record: Run) -> dict[str, str]:
    failed = {}
    for pair in plan.pairs:
        try:
            if pair.reason:
                raise ValueError(pair.reason)
            if not record.measuring and DONE not in record.log(pair.name).done:
                raise ValueError("not measured yet, and --skip was given")
            PairJob(plan, record, pair).measure()
        # Whatever loading or a model's own code raises: other pairs can still be measured.
        except Exception as error:
            failed[pair.name] = pair.reason or why(error)
            log.error("%s: %s", pair.name, failed[pair.name], exc_info=not pair.reason)
        finally:
            gc.collect()
            clear_device_cache(garbage_collection=True)
    return failed


def validate_tables(plan: ValidatePlan, record: Run, failed: Mapping[str, str]) -> Tables:
    resamples, seed = plan.config.resamples, plan.config.seed
    logs = {p.name: record.log(p.name).rows() for p in plan.pairs if p.name not in failed}
    found = {name: effects.Doses(rows) for name, rows in logs.items()}
    conditions = [
        r for n, d in found.items() for r in effects.condition_rows(n, d, resamples, seed)
    ]
    changes = [r for n, d in found.items() for r in effects.effect_rows(n, d, resamples, seed)]
    table = effects.frame(changes)
    potentials = read_tables(plan.vectors.folder / "tables")["pairs"]
    return {
        "effects": table,
        "conditions": effects.frame(conditions),
        "capability": effects.frame([effects.capability_row(n, r) for n, r in logs.items()]),
        "ranking": ranking(potentials, {row["model"]: row for row in measured(table)}),
        "steered_answers": effects.frame(
            [row for name, doses in found.items() for row in effects.answer_rows(name, doses)]
        ),
        "missing": pd.DataFrame(
            [("model", name, reason) for name, reason in failed.items()],
            columns=np.array(["what", "id", "reason"]),
        ),
    }

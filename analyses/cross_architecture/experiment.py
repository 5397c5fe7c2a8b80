"""Run the comparison: measure every model that can be, then tables over all, and a report."""

import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from accelerate.utils.memory import clear_device_cache

from analyses.cross_architecture import comparison, concordance, confounds, effects, gaps, summaries
from analyses.cross_architecture.config import Config
from analyses.cross_architecture.plan import Plan, folder_of, make_plan
from analyses.cross_architecture.recording import UNTRAINED, Record, measured
from analyses.cross_architecture.summary import summarize
from analyses.cross_architecture.verdict import verdict
from analyses.requested import ModelPlan, load, random_twin
from analyses.results import Results
from analyses.work import why
from tl_geometry.models import Model
from tl_geometry.runs import Run, open_run
from tl_geometry.statistics import benjamini_hochberg

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """The models that were measured, their random twins by name, and why others were not."""

    models: tuple[Record, ...]
    untrained: Mapping[str, Record]
    failed: Mapping[str, str]


def run(config: Config) -> Results:
    """Measure, compare, draw; what the run's folder already holds is not measured again.

    A model that cannot be loaded or measured is a row with its reason. ValueError for a request
    that cannot be carried out, before any weight is loaded; RuntimeError if no model could be
    measured.
    """
    plan = make_plan(config)
    with open_run(folder_of(plan), plan.spec, policy=config.policy) as record:
        started = time.monotonic()
        found = measure_all(plan, record)
        tables = analysed(plan, found)
        summary = summarize(plan, found, tables, record, seconds=time.monotonic() - started)
        for name, table in tables.items():
            record.write_table(name, table)
        record.write_json("summary.json", summary)  # last: it marks the run as finished
        from figures import redraw

        redraw(record.folder, export=config.export)
    return Results(record.folder, tables, summary)


def measure_all(plan: Plan, record: Run) -> Measured:
    """One model after the other, each given back before the next is loaded."""
    models, untrained, failed = [], {}, {}
    for entry in plan.models:
        config = plan.config
        if entry.size is None:
            failed[entry.name] = entry.reason
            log.error("%s: %s", entry.name, entry.reason)
            continue
        result = _attempt(plan, entry, record, partial(load, config, entry.spec), untrained=False)
        if isinstance(result, str):
            failed[entry.name] = result
            continue
        models.append(result)
        if config.random_init:
            random = partial(random_twin, config, entry)
            twin = _attempt(plan, entry, record, random, untrained=True)
            if isinstance(twin, Record):
                untrained[entry.name] = twin
    if not models:
        raise RuntimeError("no model could be measured: " + "; ".join(failed.values()))
    return Measured(tuple(models), untrained, failed)


def _attempt(
    plan: Plan, entry: ModelPlan, record: Run, load: Callable[[], Model], *, untrained: bool
) -> Record | str:
    """What was measured, or why nothing was."""
    try:
        return measured(plan, entry, record, load, untrained=untrained)
    # Whatever loading or a model's own code raises: the other models can still be measured.
    except Exception as error:
        what = f"{entry.name}, untrained" if untrained else entry.name
        log.error("%s: %s", what, why(error), exc_info=True)
        return why(error)
    finally:
        gc.collect()
        clear_device_cache(garbage_collection=True)


def analysed(plan: Plan, found: Measured) -> dict[str, pd.DataFrame]:
    """Every table of the run."""
    args = (plan.config.resamples, plan.config.seed)
    models, twins = found.models, tuple(found.untrained.values())
    log.info("intervals and tests of %d models, %d resamples each", len(models), args[0])
    critical, depths = _both([gaps.critical_table(r, *args) for r in models])
    tables = {
        "layers": _joined([gaps.layer_table(r, *args) for r in (*models, *twins)]),
        "critical_layers": critical,
        "effects": _adjusted(_joined([effects.effect_table(r, *args) for r in (*models, *twins)])),
        "transfer": _joined([effects.transfer_table(r) for r in models]),
        "confounds": _joined([confounds.adjusted_table(r, *args) for r in models]),
        "baselines": _joined([confounds.baseline_table(r, plan.bank, *args) for r in models]),
        "pairs": _joined([effects.pair_table(r) for r in models]),
        "depths": depths,
    }
    tables["comparison"] = comparison.comparison_table(
        plan, models, found.untrained, found.failed, tables
    )
    tables["meta"], tables["meta_inputs"] = summaries.meta_tables(models, summaries.Draws.of(plan))
    tables["concordance"] = concordance.concordance_table(models, *args)
    tables["patterns"] = comparison.pattern_table(tables["comparison"])
    tables["verdict"] = verdict(tables["comparison"]).table()
    tables["missing"] = _missing(found)
    first = ("verdict", "comparison", "critical_layers", "meta")
    return {name: tables[name] for name in dict.fromkeys((*first, *tables))}


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


def _both(
    tables: Sequence[tuple[pd.DataFrame, pd.DataFrame]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return _joined([one for one, _ in tables]), _joined([other for _, other in tables])


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Corrected within each question: one condition, all layers, outcomes and models of a sort.

    `patched` alone answers to any foreign values; in one family with it, every other condition
    would look better than it is.
    """
    twin = table["model"].str.endswith(UNTRAINED)
    adjusted = (
        table["p"]
        .groupby([table["condition"], twin])
        .transform(lambda p: benjamini_hochberg(p.to_numpy(float)))
    )
    return table.assign(p_adjusted=adjusted)


def _missing(found: Measured) -> pd.DataFrame:
    rows = [("model", name, reason) for name, reason in found.failed.items()]
    for record in (*found.models, *found.untrained.values()):
        rows += [(f"{record.name}: {what}", key, reason) for what, key, reason in record.missing]
    return pd.DataFrame(rows, columns=np.array(["what", "id", "reason"]))

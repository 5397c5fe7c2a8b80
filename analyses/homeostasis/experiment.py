"""Run the analysis for one model: measure what is not on record yet, then tables and report."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analyses.homeostasis.config import Config
from analyses.homeostasis.hypotheses import hypothesis_table
from analyses.homeostasis.mechanisms import mechanism_table
from analyses.homeostasis.plan import Plan, folder_of, make_plan
from analyses.homeostasis.recording import Missing, measured
from analyses.homeostasis.recovery import recovery_table, timing_table
from analyses.homeostasis.resampler import Resampler, couples
from analyses.homeostasis.sample import Sample
from analyses.homeostasis.summary import summarize
from analyses.homeostasis.tables import layer_table, missing_table, pair_table, profile_table
from analyses.requested import load
from analyses.results import Results
from tl_geometry.models import Model
from tl_geometry.runs import open_run

log = logging.getLogger(__name__)


def run(config: Config, model: Model | None = None) -> Results:
    """Measure, analyse, draw; what the run's folder already holds is not measured again.

    `model` saves loading in a notebook; it must be the one that `config` names. ValueError for a
    request that cannot be carried out, before any weight is loaded.
    """
    plan = make_plan(config)
    with open_run(folder_of(plan), plan.spec, policy=config.policy) as record:
        started = time.monotonic()
        if model is None:
            model = load(config, plan.model)
        records, missing = measured(plan, model, record)
        tables = analysed(plan, records, missing)
        summary = summarize(plan, tables, record, seconds=time.monotonic() - started)
        for name, table in tables.items():
            record.write_table(name, table)
        record.write_json("summary.json", summary)  # last: it marks the run as finished
        _draw(record.folder, config)
    return Results(record.folder, tables, summary)


def _draw(folder: Path, config: Config) -> None:
    from figures import redraw

    redraw(folder, export=config.export)


def analysed(
    plan: Plan, records: Sequence[Mapping[str, Any]], missing: Missing
) -> dict[str, pd.DataFrame]:
    """Every table of the run. RuntimeError if no pair could be measured."""
    usable = [record for record in records if record["status"] == "ok"]
    if not usable:
        reason = records[0]["reason"] if records else "there are no pairs"
        raise RuntimeError(f"none of {len(records)} pairs could be measured: {reason}")
    sample = Sample(usable, plan.setup.patch_layer, plan.size.n_layers)
    config, n = plan.config, len(usable)
    # Couples are those of all pairs: a pair that is missing does not marry its neighbours anew.
    of_all = couples(len(records))
    shared = tuple(of_all[record["pair_index"]] for record in usable)
    resampler = Resampler(n, config.resamples, config.seed, shared)
    log.info("intervals and tests from %d resamples of %d pairs", config.resamples, n)
    return {
        "hypotheses": hypothesis_table(sample, resampler),
        "recovery": recovery_table(sample, resampler),
        "mechanisms": mechanism_table(sample, resampler, config.resamples),
        "timing": timing_table(sample, resampler),
        "pairs": pair_table(sample),
        "layers": layer_table(sample),
        "profile": profile_table(sample),
        "missing": missing_table(missing),
    }

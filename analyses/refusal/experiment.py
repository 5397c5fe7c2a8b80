"""Run the sweep over families: measure every model that can be, then tables, verdicts, a report."""

import logging
import time
from collections.abc import Mapping, Sequence

import pandas as pd

from analyses.budget import SPENT
from analyses.ledger import Account, spending
from analyses.refusal import tables as tidy
from analyses.refusal.advice import stopped
from analyses.refusal.config import Families
from analyses.refusal.exported import export
from analyses.refusal.measure import Task as Job
from analyses.refusal.measure import measure_model
from analyses.refusal.plan import Plan, make_plan
from analyses.refusal.subject import Subject
from analyses.refusal.summary import summarize
from analyses.refusal.verdict import verdict_table
from analyses.results import Results
from tl_geometry.execute import Outcome, Task, execute
from tl_geometry.runs import Run, open_run

log = logging.getLogger(__name__)


def run(config: Families, subject: Subject | None = None) -> Results:
    """Measure, judge, draw; what the run's folder already holds is not measured again.

    `subject` saves loading; it must be the one model that `config` names, measured in this process.
    A model that cannot be loaded or measured is a row with its reason. ValueError for a request
    that cannot be carried out, before any weight is loaded; RuntimeError if no model could be
    measured. Where the budget is spent, what is not wholly measured is a row as well.
    """
    from figures import redraw

    began, plan = time.monotonic(), make_plan(config)
    with (
        open_run(plan.folder, plan.spec, policy=config.policy) as record,
        spending(config, record.folder, plan.spec.step) as account,
    ):
        failed = _measured(plan, record, subject, account)
        found = [tidy.recorded(record.folder, m) for m in plan.models if m.name not in failed]
        if not found:
            if SPENT in failed.values():
                raise RuntimeError(stopped(plan, failed, account))
            raise RuntimeError("no model could be measured: " + "; ".join(failed.values()))
        tables = analysed(plan, found, failed)
        for name, table in tables.items():
            record.write_table(name, table)
        if SPENT in failed.values():
            log.warning("%s", stopped(plan, failed, account, tables["verdicts"]))
        seconds = time.monotonic() - began
        summary = summarize(plan, tables, record, seconds=seconds)
        record.write_json("summary.json", summary)
        export(record.folder, tables, summary)
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)


def _measured(plan: Plan, record: Run, subject: Subject | None, account: Account) -> dict[str, str]:
    """Every model, one after the other or side by side; the reasons of those that failed."""
    failed = {model.name: model.reason for model in plan.models if model.size is None}
    for name, reason in failed.items():
        log.error("%s: %s", name, reason)
    if not record.measuring:
        return failed
    folder, deadline = record.folder.resolve(), account.deadline
    jobs = [
        Task(model.name, Job(folder, plan.config, model, plan.prompts, subject, deadline))
        for model in plan.models
        if model.size is not None
    ]

    def noted(outcome: Outcome) -> None:
        log.info("%s: %s", outcome.key, outcome.reason or outcome.value or "measured")

    config = plan.config
    outcomes = execute(
        measure_model, jobs, executor=config.executor, workers=config.workers, on_done=noted
    )
    reasons = {outcome.key: outcome.reason or outcome.value for outcome in outcomes}
    return failed | {name: reason for name, reason in reasons.items() if reason}


def analysed(
    plan: Plan, found: Sequence[tidy.Recorded], failed: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """Every table of the run."""
    conditions = tidy.conditions(found)
    missing = [("model", name, reason) for name, reason in failed.items()]
    for one in found:
        missing += [(one.model.name, what, why) for what, why in one.done["missing"].items()]
    return {
        "verdicts": verdict_table(conditions, plan.config.methods),
        "bypass": tidy.bypasses(found),
        "conditions": conditions,
        "directions": tidy.directions(found),
        "selection": tidy.selection(found),
        "cosines": tidy.cosines(found),
        "samples": tidy.samples(found, plan),
        "missing": pd.DataFrame(missing, columns=["what", "id", "reason"]),
    }

"""Run a step: measure every model that can be measured, then tables, verdicts, a report."""

import logging
import time
from collections.abc import Mapping

import pandas as pd

from analyses.budget import SPENT
from analyses.ledger import Account, spending
from analyses.refusal import tables as tidy
from analyses.refusal.advice import stopped
from analyses.refusal.analysed import analysed
from analyses.refusal.config import Families, Steered
from analyses.refusal.decisions import findings
from analyses.refusal.exported import export
from analyses.refusal.measure import measure_model
from analyses.refusal.measuring import Task as Job
from analyses.refusal.plan import Plan, make_plan
from analyses.refusal.subject import Subject
from analyses.refusal.summary import summarize
from analyses.refusal.verdict import PARTIAL
from analyses.results import Results
from figures.rows import records
from tl_geometry.execute import Executor, Outcome, Task, execute
from tl_geometry.models import chosen_device
from tl_geometry.runs import Run, open_run

log = logging.getLogger(__name__)
FINDINGS, FALLBACK = "FINDINGS_LOG.md", "fallback"


def run(config: Steered, subject: Subject | None = None) -> Results:
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
        failed, tables = _judged(plan, record, subject, account)
        if SPENT in failed.values():
            log.warning("%s", stopped(plan, failed, account, tables.get("verdicts")))
        for name, table in tables.items():
            record.write_table(name, table)
        summary = summarize(plan, tables, record, seconds=time.monotonic() - began)
        record.write_json("summary.json", summary)
        title = f"{plan.spec.step}, run {record.folder.name}"
        record.write_text(FINDINGS, "\n".join(findings(title, records(tables["decisions"]))))
        export(record.folder, tables, summary)
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)


def _judged(
    plan: Plan, record: Run, subject: Subject | None, account: Account
) -> tuple[dict[str, str], dict[str, pd.DataFrame]]:
    """What could not be measured, and the tables of the rest, after the fallback if it is due."""
    failed = _measured(plan, record, subject, account)
    # Noted once: from half a fallback's rows it could not be decided again.
    if FALLBACK not in record.plan:
        tables = _tables(plan, record, failed, account)
        if SPENT in failed.values() or not nothing_refuses(plan.config, tables):
            return failed, tables
        record.set_plan({**record.plan, FALLBACK: True})
        log.warning("nothing refuses 20 %%: every depth and dose of the fallback is searched")
    failed = _measured(plan, record, subject, account, fallback=True)
    return failed, _tables(plan, record, failed, account)


def _tables(
    plan: Plan, record: Run, failed: Mapping[str, str], account: Account
) -> dict[str, pd.DataFrame]:
    found = [tidy.recorded(record.folder, m) for m in plan.models if m.name not in failed]
    if not found:
        if SPENT in failed.values():
            raise RuntimeError(stopped(plan, failed, account))
        raise RuntimeError("no model could be measured: " + "; ".join(failed.values()))
    return analysed(plan, found, failed)


def nothing_refuses(config: Steered, tables: Mapping[str, pd.DataFrame]) -> bool:
    """Whether the plan's fallback is due (§6.1): no method reaches 20 % on any model. By validation
    prompts: what is reported afterwards is of test prompts."""
    if not isinstance(config, Families) or config.one_round:
        return False
    return bool((tables["verdicts"]["validation"] < PARTIAL).all())


def _measured(
    plan: Plan,
    record: Run,
    subject: Subject | None,
    account: Account,
    *,
    fallback: bool = False,
) -> dict[str, str]:
    """Every model, one after the other or side by side; the reasons of those that failed."""
    failed = {model.name: model.reason for model in plan.models if model.size is None}
    for name, reason in failed.items():
        log.error("%s: %s", name, reason)
    if not record.measuring:
        return failed
    folder, config, until = record.folder.resolve(), plan.config, account.deadline
    jobs = [
        Task(model.name, Job(folder, config, model, plan.prompts, subject, fallback, until))
        for model in plan.models
        if model.size is not None
    ]

    def noted(outcome: Outcome) -> None:
        log.info("%s: %s", outcome.key, outcome.reason or outcome.value or "measured")

    executor = executor_of(config, len(jobs))
    outcomes = execute(
        measure_model, jobs, executor=executor, workers=config.workers, on_done=noted
    )
    reasons = {outcome.key: outcome.reason or outcome.value for outcome in outcomes}
    return failed | {name: reason for name, reason in reasons.items() if reason}


MANY = 4
"""So many models are worth the half minute that starting a worker takes."""


def executor_of(config: Steered, models: int) -> Executor:
    if config.executor != "auto":
        return config.executor
    apart = chosen_device(config.device) == "cpu" and models >= MANY and config.workers > 1
    return "processes" if apart else "serial"

"""The step `extract`: responses, vectors, tables, files and a report."""

import gc
import time

from accelerate.utils.memory import clear_device_cache

from analyses.model_diff.config import Extract
from analyses.model_diff.exported import export
from analyses.model_diff.plan import Plan, Source, make_plan
from analyses.model_diff.responses import respond
from analyses.model_diff.summary import summarize
from analyses.model_diff.tables import extract_tables
from analyses.model_diff.vectors import measured, of_rows
from analyses.model_diff.vetting import Judge, vetted, vetting_judge
from analyses.requested import load
from analyses.results import Results
from tl_geometry.runs import Run, open_run

DONE = "source"
"""Key of the row that a source gets last."""
VECTORS = "vectors"


def run(config: Extract) -> Results:
    """Generate, read, compare, draw; what the run's folder holds is not done again.

    ValueError for a request that cannot be carried out, before any weight is loaded; RuntimeError
    where a source has no responses and --skip was given, or nothing can be made of them.
    """
    from figures import redraw

    began, plan = time.monotonic(), make_plan(config)
    with open_run(plan.folder, plan.spec, policy=config.policy) as record:
        judge = _judge(plan, record)
        for source in plan.sources:
            _measure(plan, record, source, judge)
        tables = extract_tables(plan, record)
        for name, table in tables.items():
            record.write_table(name, table)
        summary = summarize(plan, tables, record, seconds=time.monotonic() - began)
        export(plan, record, tables["vectors"])
        record.write_json("summary.json", summary)  # it marks the run as finished
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)


def _judge(plan: Plan, record: Run) -> Judge | None:
    """Reached before anything is generated, and only where something is still to be rated."""
    open_ = any(DONE not in record.log(source.name).done for source in plan.sources)
    return vetting_judge(plan) if open_ and record.measuring else None


def _measure(plan: Plan, record: Run, source: Source, judge: Judge | None) -> None:
    """One model in memory at a time: base and instruct belong to different sources."""
    log = record.log(source.name)
    if DONE in log.done:
        return
    if not record.measuring:
        raise RuntimeError(f"the source {source.name} is not measured yet, and --skip was given")
    model = load(plan.config, source.model.spec)
    rows = respond(model, record, source, plan.config)
    if bad := [row["reason"] for row in rows if row["status"] != "ok"]:
        raise RuntimeError(f"{len(bad)} of {len(rows)} responses failed: {bad[0]}")
    kept = vetted(record, source, rows, plan.config.trait, judge)
    found = measured(model, source, of_rows(kept), plan.config)
    if not found.vectors:
        raise RuntimeError(f"{source.name}: {found.rows[0]['reason']}")
    record.save_arrays(source.name, VECTORS, found.vectors)
    log.append([*found.rows, {"key": DONE, "status": "ok", "reason": ""}])
    del model
    gc.collect()
    clear_device_cache(garbage_collection=True)

"""The step `extract`: read every pair, make its vectors, then tables, files and a report."""

import time

from analyses.alignment_steering.config import Paired
from analyses.alignment_steering.exported import export
from analyses.alignment_steering.extracting import measure_all
from analyses.alignment_steering.plan import make_plan
from analyses.alignment_steering.summary import summarize
from analyses.alignment_steering.tables import extract_tables
from analyses.results import Results
from tl_geometry.runs import open_run


def run(config: Paired) -> Results:
    """Read, compare, draw; what the run's folder already holds is not read again.

    A pair that cannot be loaded or measured is a row with its reason. ValueError for a request
    that cannot be carried out, before any weight is loaded; RuntimeError if no pair could be
    measured.
    """
    from figures import redraw

    began, plan = time.monotonic(), make_plan(config)
    with open_run(plan.folder, plan.spec, policy=config.policy) as record:
        failed = measure_all(plan, record)
        if len(failed) == len(plan.pairs):
            raise RuntimeError("no pair could be measured: " + "; ".join(failed.values()))
        tables = extract_tables(plan, record, failed)
        for name, table in tables.items():
            record.write_table(name, table)
        summary = summarize(plan, tables, record, seconds=time.monotonic() - began)
        export(plan, record, tables, png="png" in config.export)
        record.write_json("summary.json", summary)  # it marks the run as finished
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)

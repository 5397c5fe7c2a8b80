"""The step `combine`: vectors of both sources together, against the best of one."""

import logging
import time
from typing import Any

import pandas as pd

from analyses.model_diff.combine_config import Combine
from analyses.model_diff.combine_plan import CombinePlan, make_combine_plan
from analyses.model_diff.combine_summary import summarize
from analyses.model_diff.combine_tables import Compared, combine_tables, missing_table
from analyses.model_diff.combining import INSTRUCTION, NATURAL, Combining, best_singles
from analyses.model_diff.steer import run_steer
from analyses.model_diff.steer_judge import judge_of
from analyses.requested import load
from analyses.results import Results
from analyses.work import without_nan
from figures.rows import records
from tl_geometry.runs import Run, atomic, open_run, state
from tl_geometry.runs.folders import read_json

log = logging.getLogger(__name__)
EMPTY = ("combinations", "strategies", "combined_doses", "combined_answers")


def run_combine(config: Combine) -> Results:
    """Search, choose, test, draw; what the run's folder holds is not asked or rated again.

    Raises as `run_steer`. Where one source has no coherent dose nothing can be combined: then every
    table is empty, and `missing` says why.
    """
    from figures import redraw

    began, plan = time.monotonic(), make_combine_plan(config)
    if state(plan.steer.folder) != "finished":
        log.info("single vectors are not steered with yet: doing that first")
        run_steer(plan.steer.config)
    with open_run(plan.folder, plan.spec, policy=config.policy) as record:
        if not record.measuring:
            raise RuntimeError("this run is not finished, and --skip was given")
        tables, judge = _measured(plan, record)
        for name, table in tables.items():
            record.write_table(name, table)
        _export(record, tables)
        summary = summarize(plan, judge, tables, record, seconds=time.monotonic() - began)
        record.write_json("summary.json", summary)
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)


def _measured(plan: CombinePlan, record: Run) -> tuple[dict[str, pd.DataFrame], str]:
    """Tables, and the fingerprint of the judge behind them."""
    threshold = plan.config.coherence
    singles = best_singles(plan.steer.folder, threshold)
    if gone := [s for s in (INSTRUCTION, NATURAL) if s not in singles]:
        why = f"no dose of a vector of this source reaches a coherence of {threshold:g}"
        missing = missing_table([("source", source, why) for source in gone])
        return {**{name: pd.DataFrame() for name in EMPTY}, "missing": missing}, "none"
    model = load(plan.steer.config, plan.steer.extraction.pair.instruct.spec)
    judge = judge_of(plan.steer, model)
    _check_judge(plan, judge.fingerprint)
    combining = Combining(plan.steer, record, model, judge, plan, singles)
    return combine_tables(Compared(combining, combining.searched())), judge.fingerprint


def _check_judge(plan: CombinePlan, fingerprint: str) -> None:
    """ValueError where another judge chose the single vectors: scores of two judges never meet."""
    chose = read_json(plan.steer.folder / "summary.json").get("judge")
    if chose != fingerprint:
        raise ValueError(
            f"the single vectors in {plan.steer.folder} were chosen by another judge: run `steer` "
            "with the settings of this one first"
        )


def _export(record: Run, tables: dict[str, pd.DataFrame]) -> None:
    """`export/combination/results.json`: the plan's table and the comparisons behind it."""
    listed: dict[str, Any] = {
        name: without_nan(records(tables[name])) for name in ("combinations", "strategies")
    }
    atomic.write_json(record.folder / "export" / "combination" / "results.json", listed)

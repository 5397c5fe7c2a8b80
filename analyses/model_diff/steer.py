"""The step `steer`: search on validation questions, report on test questions."""

import logging
import time

from analyses.model_diff.experiment import run as extract
from analyses.model_diff.steer_config import Steer
from analyses.model_diff.steer_exported import export
from analyses.model_diff.steer_judge import judge_of
from analyses.model_diff.steer_plan import make_steer_plan
from analyses.model_diff.steer_summary import summarize
from analyses.model_diff.steer_tables import chosen_of, steer_tables, wanted
from analyses.model_diff.steer_tested import Tested
from analyses.model_diff.steering import Steering
from analyses.requested import load
from analyses.results import Results
from tl_geometry.runs import open_run, state

log = logging.getLogger(__name__)


def run_steer(config: Steer) -> Results:
    """Search, choose, test, draw; what the run's folder holds is not asked or rated again.

    ValueError for a request that cannot be carried out, before any weight is loaded; RuntimeError
    where an answer could not be generated or rated.
    """
    from figures import redraw

    began, plan = time.monotonic(), make_steer_plan(config)
    if state(plan.extraction.folder) != "finished":
        log.info("the trait vectors are not there yet: extracting them")
        extract(plan.extraction.config)
    with open_run(plan.folder, plan.spec, policy=config.policy) as record:
        if not record.measuring:
            raise RuntimeError("this run is not finished, and --skip was given")
        model = load(config, plan.extraction.pair.instruct.spec)
        steering = Steering(plan, record, model, judge_of(plan, model))
        scores = steering.searched()
        chosen = chosen_of(steering, scores)
        asked = wanted(steering, scores, chosen)
        rated = dict(zip(asked, steering.rated(asked, "test", "chosen"), strict=True))
        tested = Tested(plan, rated)
        tables = steer_tables(steering, scores, chosen, tested)
        for name, table in tables.items():
            record.write_table(name, table)
        export(steering, scores, list(dict.fromkeys(chosen.values())), tested)
        summary = summarize(steering, tables, seconds=time.monotonic() - began)
        record.write_json("summary.json", summary)
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)

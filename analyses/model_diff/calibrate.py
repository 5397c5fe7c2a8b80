"""The step `calibrate`: a judge's ratings of stored responses beside the embedded world's rule."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from analyses.model_diff.calibrate_config import Calibrate
from analyses.model_diff.calibrate_plan import CalibratePlan, make_calibrate_plan
from analyses.model_diff.calibrate_summary import summarize
from analyses.model_diff.calibrate_tables import Answer, calibrate_tables
from analyses.model_diff.experiment import run as extract
from analyses.model_diff.extracted import responses_of
from analyses.results import Results
from analyses.work import work_off
from tl_geometry.judges.number_scores import Rating
from tl_geometry.judges.rubric_judge import rubric_judge
from tl_geometry.judges.trait_scores import RubricJudge, TraitJudge
from tl_geometry.pocket.splits import digest
from tl_geometry.runs import Run, open_run, state

log = logging.getLogger(__name__)
BATCH = 8
"""Responses a batch: what a killed run loses at most."""


def run_calibrate(config: Calibrate) -> Results:
    """Rate, compare, draw; what this very judge has rated is not rated again.

    ValueError for a request that cannot be carried out, or a judge that cannot judge; RuntimeError
    where --skip was given and there is nothing yet.
    """
    from figures import redraw

    began, plan = time.monotonic(), make_calibrate_plan(config)
    if state(plan.extraction.folder) != "finished":
        log.info("there are no responses yet: extracting")
        extract(plan.extraction.config)
        plan = make_calibrate_plan(config)  # with the key under which they are now on record
    with open_run(plan.folder, plan.spec, policy=config.policy) as record:
        if not record.measuring:
            raise RuntimeError("this run is not finished, and --skip was given: nothing is rated")
        judge = judge_of(plan)
        answers = answers_of(plan)
        tables = calibrate_tables(plan, answers, rated(plan, record, judge, answers))
        for name, table in tables.items():
            record.write_table(name, table)
        seconds = time.monotonic() - began
        summary = summarize(plan, tables, record, judge=judge.fingerprint, seconds=seconds)
        record.write_json("summary.json", summary)
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)


def judge_of(plan: CalibratePlan) -> TraitJudge | RubricJudge:
    """Raises what loading or reaching the judge raises."""
    config = plan.config
    assert config.judge_model is not None
    return rubric_judge(config.judge_model, config.judge_url, device=config.device)


def answers_of(plan: CalibratePlan) -> list[Answer]:
    """Responses of both sources and sides, in the order in which they were given."""
    found = []
    for source in plan.extraction.sources:
        rows = responses_of(plan.extraction, source)
        for positive, scenarios in source.sides.items():
            asked = {scenario.id: scenario.prompt for scenario in scenarios}
            mine = [row for row in rows if row["positive"] == positive]
            for row in mine[: plan.config.limit]:
                side = "positive" if positive else "negative"
                key, group = f"{source.name}|{row['key']}", row["group"]
                found.append(Answer(key, source.name, side, group, asked[row["id"]], row["text"]))
    return found


def rated(
    plan: CalibratePlan, record: Run, judge: TraitJudge | RubricJudge, answers: Sequence[Answer]
) -> list[dict[str, Any]]:
    """One row an answer, under the judge's own fingerprint: other weights rate anew. A rating that
    is missing because a call failed is asked for again."""
    traits = plan.extraction.sources[0].traits
    name = f"judge {judge.fingerprint[:8]}"

    def measure(batch: Sequence[Answer]) -> list[Mapping[str, Any]]:
        questions, texts = [a.question for a in batch], [a.text for a in batch]
        shown = judge.trait(plan.config.trait, traits.definition, questions, texts)
        sound = judge.coherence(questions, texts)
        return [_row(*both) for both in zip(shown, sound, strict=True)]

    items = {answer.key: answer for answer in answers}
    return work_off(
        record, record.log(name), f"{name} {digest(*items):016x}", items,
        plan.config.batch_size or BATCH, measure, unit="response", title=plan.judge["name"],
    )  # fmt: skip


def _row(trait: Rating, coherence: Rating) -> dict[str, Any]:
    """`failed`, and asked again at the next start, where nothing came back of a question."""
    reason = trait.reason or coherence.reason
    told = {"trait": vars(trait), "coherence": vars(coherence)}
    silent = any(r.value is None and r.coverage == 0 for r in (trait, coherence))
    status = "failed" if silent else "missing" if reason else "ok"
    return {"status": status, "reason": reason, **told}

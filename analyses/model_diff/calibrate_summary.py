"""How well a judge agrees with the rule, in sentences; the calibration report to print."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analyses.model_diff.calibrate_plan import CalibratePlan
from analyses.model_diff.calibrate_tables import REFERENCE
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from figures.rows import absent, records, select, values_of
from tl_geometry.judges.calibration import report_of
from tl_geometry.runs import Run

CANNOT_SAY = (
    "The reference is a rule that knows the embedded world's grammar. It says 0 or 100 of a trait: "
    "a judge that grades is off by points even where it is right, and between two values and many "
    "ranks Spearman's correlation ends below 1 (at 0.87 where the two are equally frequent).",
    "The coherence that gates steering on embedded models asks more: the rule there also turns "
    "down what the unsteered model finds too unlikely. Here nothing was steered, the reference is "
    "the grammar alone: how a judge agrees with that gate, on answers that steering broke, is not "
    "told.",
    "A judge that agrees with the rule here may fail on other text, and one that fails here may do "
    "well on larger models' answers: that has to be read by people.",
    "Responses of `natural` go on with a narrative, and are cut off after a few tokens: a judge "
    "that is asked about replies sees something else there. Look at `instruction` first.",
    "Nearly all responses are sound by the rule. Where it has one value only, coherence has no "
    "rank correlation, and its error says nothing of how a judge treats broken text.",
    "Answers that the judge could not rate are in no number but `n_missing`. They are rarely like "
    "the others.",
    "Intervals are over subjects of the scenarios, at a fixed judge and fixed words of its rubric.",
)


def summarize(
    plan: CalibratePlan,
    tables: Mapping[str, pd.DataFrame],
    record: Run,
    *,
    judge: str,
    seconds: float,
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions and seconds."""
    return summary_of(
        plan.spec,
        record.folder.name,
        judge=judge,
        banner=pocket_banner(
            m.spec for m in (plan.extraction.pair.base, plan.extraction.pair.instruct)
        ),
        headline=headline(plan, tables),
        counts={"responses": len(tables["ratings"]), "missing": len(tables["missing"])},
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def headline(plan: CalibratePlan, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    missing = tables["missing"]
    yield (
        f"{plan.judge['name']} was asked about {len(tables['ratings'])} responses of "
        f"{plan.extraction.folder.name}, for {plan.config.trait} and coherence, beside the "
        f"embedded world's {REFERENCE}; of {len(missing)} a rating is missing"
        + (f" (first: {missing['reason'].tolist()[0]})." if len(missing) else ".")
    )
    for name in values_of(tables["calibration"], "rating"):
        rows = {row["measure"]: row for row in records(select(tables["calibration"], rating=name))}
        yield _agreement(str(name), rows)


def _agreement(name: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    counts = (
        f"{rows['mae']['n']:.0f} rated by both, {rows['mae']['n_missing']:.0f} not by the judge"
    )
    if absent(rows["mae"]["estimate"]):
        return f"{name}: no agreement can be told ({rows['mae']['reason']}; {counts})."
    order = "undefined"
    if not absent(rows["spearman"]["estimate"]):
        order = interval(rows["spearman"])
    return (
        f"{name}: rank correlation {order}, off by {interval(rows['mae'], digits=1)} points, bias "
        f"{interval(rows['bias'], digits=1)} ({counts})."
    )


def checkpoint(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The calibration report."""
    yield f"Reference: {REFERENCE}, on answers that nobody steered"
    yield report_of(tables["calibration"].rename(columns={"rating": "judge"}))

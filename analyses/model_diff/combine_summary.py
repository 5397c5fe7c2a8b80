"""What combinations did, in sentences; the plan's checkpoint behind phase 2."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analyses.model_diff.combine_plan import CombinePlan
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from figures.rows import count, records, select
from tl_geometry.runs import Run

CANNOT_SAY = (
    "Strategy 3 is Strategy 1 or 2 under another name: the plan asks for it, and it is one "
    "configuration, counted once.",
    "Single vectors were searched over layers, positions and methods, combinations over doses at "
    "the layers of the winners: a combination that loses may win elsewhere.",
    "Doses are chosen on validation questions and reported on test questions; best single vectors "
    "were chosen there too, so no side is reported on what it was chosen by.",
    "`equivalent` is said only where the 90 % interval of the difference lies within the margin; "
    "`undecided` is no sign that two are alike.",
    "Intervals are over subjects of questions, at fixed weights, vectors and judge.",
)


def summarize(
    plan: CombinePlan,
    judge: str,
    tables: Mapping[str, pd.DataFrame],
    record: Run,
    *,
    seconds: float,
) -> dict[str, Any]:
    return summary_of(
        plan.spec,
        record.folder.name,
        judge=judge,
        banner=pocket_banner([plan.steer.extraction.pair.instruct.spec]),
        headline=headline(plan, tables),
        counts={
            "conditions searched": len(tables["combined_doses"]),
            "test questions": len(plan.steer.test),
            "missing": len(tables["missing"]),
        },
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def headline(plan: CombinePlan, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    yield hypothesis(tables["strategies"], plan.config.margin, _gone(tables["missing"]))
    for row in records(_changes(tables["combinations"])):
        yield (
            f"{row['configuration']} ({row['note']}): layer {row['layers']}, tokens "
            f"{row['tokens']}, {row['dose']:.2f} ({row['dose_of']}): trait "
            f"{row['test_trait']:.0f} at coherence {row['test_coherence']:.0f}, "
            f"{interval(row, digits=0)} over unsteered, "
            f"{_over_random(tables['combinations'], row)} over random vectors put together alike."
        )


def hypothesis(strategies: pd.DataFrame, margin: float, why: str) -> str:
    """H3: combined vectors do not do significantly better than the best of one source."""
    if strategies.empty:
        return f"H3, do combinations do better than the best single vector? Undecided ({why})."
    better = count(strategies["verdict"] == "higher")
    alike = count(strategies["verdict"] == "equivalent")
    said = "; ".join(
        f"{row['strategy']} {interval(row, digits=0)} ({row['verdict']})"
        for row in records(strategies)
    )
    over = str(records(strategies)[0]["over"]).lower()
    return (
        f"H3, do combinations do better than the best single vector? {better} of "
        f"{len(strategies)} distinct strategies do clearly better than the {over} (p < 0.05, "
        f"Benjamini–Hochberg), {alike} are equivalent within {margin:g} points; points of the "
        f"trait rating, with 95 % intervals: {said}."
    )


def _gone(missing: pd.DataFrame) -> str:
    return "; ".join(f"{row['id']}: {row['reason']}" for row in records(missing))


def _changes(combinations: pd.DataFrame) -> pd.DataFrame:
    return combinations if combinations.empty else select(combinations, quantity="change")


def _over_random(combinations: pd.DataFrame, row: Mapping[str, Any]) -> str:
    mine = select(combinations, configuration=row["configuration"], quantity="over_random")
    return interval(records(mine)[0], digits=0)


def checkpoint(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The plan's table behind phase 2, on test questions."""
    yield "Checkpoint: after phase 2"
    yield f"  {'config':<26} {'layer(s)':<9} {'dose':<6} {'Δ':<5} {'coherence':<10} notes"
    for row in records(_changes(tables["combinations"])):
        yield (
            f"  {row['configuration']:<26} {row['layers']!s:<9} {row['dose']:<6.2f} "
            f"{row['estimate']:<5.0f} {row['test_coherence']:<10.0f} {row['note']}"
        )

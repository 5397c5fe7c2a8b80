"""What steering did, in sentences; the plan's checkpoint behind phase 1."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analyses.model_diff.steering import Steering
from analyses.sentences import interval, pocket_banner
from figures.rows import absent, records, select, values_of
from tl_geometry.runs import versions

WANTED = 30.0
CANNOT_SAY = (
    "Layer and dose are chosen on validation questions and reported on test questions; the highest "
    "of many validation means is too high by being chosen, the test mean is not.",
    "Random and shuffled vectors get the same search. `over_random` is at the vector's own layer "
    "and dose, `over_best_random` against the random vector's own best; one vector of each was "
    "drawn a source and position, so they stand for a few random directions, not for all.",
    "Scores belong to their judge: differences between judges are tens of points. The embedded "
    "world's rule knows its grammar and gives 0 or 100.",
    "A vector is added at one block's output, to every token of prompt and answer but padding.",
    "Intervals are over subjects of questions, at fixed weights, vectors and judge.",
)


def summarize(
    steering: Steering, tables: Mapping[str, pd.DataFrame], *, seconds: float
) -> dict[str, Any]:
    plan, record = steering.plan, steering.record
    return {
        "analysis": "model_diff",
        "run": record.folder.name,
        "key": plan.spec.key,
        "judge": steering.judge.fingerprint,
        "banner": pocket_banner([plan.extraction.pair.instruct.spec]),
        "headline": list(headline(steering, tables)),
        "counts": {
            "conditions": len(tables["doses"]),
            "validation questions": len(plan.validation),
            "test questions": len(plan.test),
            "missing": len(tables["missing"]),
        },
        "cannot_say": list(CANNOT_SAY),
        "spec": plan.spec.as_dict(),
        "versions": versions(),
        "seconds": round(seconds, 1),
    }


def headline(steering: Steering, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    config, effects = steering.plan.config, tables["effects"]
    mine = select(effects, threshold=config.coherence) if len(effects) else effects
    over = select(mine, quantity="over_random") if len(mine) else mine
    good = [row for row in records(over) if not absent(row["low"]) and row["low"] > 0]
    strong = [row for row in good if row["estimate"] >= WANTED]
    yield (
        f"{config.trait}: at a coherence of {config.coherence:g} or more, {len(strong)} of "
        f"{len(over)} sets of vectors raise the trait on test questions by {WANTED:g} points or "
        f"more over a random vector at the same layer and dose ({len(good)} have an interval "
        "above 0)."
    )
    for row in records(over):
        yield _set(row, mine)
    yield _positions(tables["positions"])


def _set(row: Mapping[str, Any], effects: pd.DataFrame) -> str:
    def found(quantity: str) -> str:
        rows = records(select(effects, set=row["set"], quantity=quantity))
        return interval(rows[0], digits=0) if rows else "undefined (the control has none)"

    return (
        f"{row['set']}: block {row['layer']:.0f}, {row['dose']:.2f} of the residual stream's "
        f"length: trait {row['test_trait']:.0f} at coherence {row['test_coherence']:.0f} on test "
        f"questions; {found('change')} over unsteered, {found('over_random')} over a random vector "
        f"there, {found('over_best_random')} over the random vector's own best, "
        f"{found('over_best_shuffled')} over shuffled labels' best."
    )


def _positions(table: pd.DataFrame) -> str:
    if table.empty:
        return "Does the position matter? No source has two positions to compare."
    clear = int((table["p_adjusted"].to_numpy(float) < 0.05).sum())
    said = "; ".join(
        f"{row['a']} − {row['b']}: {interval(row, digits=0)}" for row in records(table)
    )
    verdict = "Yes" if clear else "Not shown"
    return (
        f"Does the position matter? {verdict}: {clear} of {len(table)} comparisons of one source "
        f"and method, each at its own best, are clear (Benjamini–Hochberg): {said}."
    )


def checkpoint(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The plan's table behind step 1a, on test questions."""
    yield "Checkpoint: after phase 1"
    yield f"  {'set':<36} {'layer':<6} {'Δ at ≥ 80':<11} {'Δ at ≥ 70':<11} below 80 from dose"
    table = tables["effects"]
    if table.empty:
        return
    changes = select(table, quantity="change")
    for name in values_of(changes, "set"):
        rows = {row["threshold"]: row for row in records(select(changes, set=name))}
        cells = [f"{rows[t]['estimate']:.0f}" if t in rows else "none" for t in (80.0, 70.0)]
        one = rows.get(70.0) or next(iter(rows.values()))
        edge = "–" if absent(one["incoherent_from"]) else f"{one['incoherent_from']:.2f}"
        yield f"  {name!s:<36} {one['layer']:<6.0f} {cells[0]:<11} {cells[1]:<11} {edge}"

"""What steering did, in sentences; the plan's checkpoint behind phase 1."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analyses.model_diff.steering import Steering
from analyses.sentences import interval, pocket_banner
from figures.rows import absent, records, select, values_of
from tl_geometry.runs import versions

WANTED = 30.0
TOKENS = {"all": "all tokens", "prompt": "tokens of the prompt", "generated": "of the answer"}
CANNOT_SAY = (
    "Layer and dose are chosen on validation questions and reported on test questions; the highest "
    "of many validation means is too high by being chosen, the test mean is not.",
    "Random and shuffled vectors get the same search. `over_random` is at the vector's own layer "
    "and dose, where the mean of several random vectors is taken; `over_best_random` is against "
    "the one random vector that was searched, at its own best: a few directions, not all.",
    "Scores belong to their judge: differences between judges are tens of points. The embedded "
    "world's rule knows its grammar and gives 0 or 100.",
    "A vector is added at one block's output, at every token that was asked for but padding.",
    "Intervals are over subjects of questions, at fixed weights, vectors and judge. Where every "
    "question changes alike there is nothing to resample, and Newcombe's interval stands instead.",
)
H1_SAYS: Mapping[str, Mapping[str, str]] = {
    "natural over random": {
        "higher": "they transfer",
        "lower": "they bring out less of it than random vectors",
        "equivalent": "no transfer: equivalent to random vectors within {margin:g} points",
        "undecided": "undecided",
    },
    "natural over instruction": {
        "higher": "they are more effective than instruction vectors",
        "lower": "they are less effective than instruction vectors",
        "equivalent": "as effective, within {margin:g} points",
        "undecided": "undecided, neither different nor equivalent within {margin:g} points",
    },
}


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
    counts = ", ".join(_reached(over, name, config.coherence) for name in _sources(steering))
    yield (
        f"{_trait(steering)}: sets of vectors that raise the trait on test questions by {WANTED:g} "
        f"points or more over random vectors at the same place and dose, with an interval above 0 "
        f"and a coherence of {config.coherence:g} or more there: {counts}."
    )
    yield _first(tables["natural_vectors"])
    yield _positions(tables["positions"], config.margin)
    for row in records(over):
        yield _set(row, mine)


def _sources(steering: Steering) -> list[str]:
    return list(dict.fromkeys(source.name for source, _ in steering.plan.spans))


def _reached(over: pd.DataFrame, source: str, coherence: float) -> str:
    mine = [row for row in records(over) if row["set"].startswith(f"{source} ")]
    good = [
        row
        for row in mine
        if row["estimate"] >= WANTED and row["low"] > 0 and row["test_coherence"] >= coherence
    ]
    return f"{len(good)} of {len(mine)} of the source {source}"


def _trait(steering: Steering) -> str:
    plan = steering.plan
    other = plan.extraction.config.trait
    return plan.config.trait if other == plan.config.trait else f"{plan.config.trait} by {other}"


def _set(row: Mapping[str, Any], effects: pd.DataFrame) -> str:
    def found(quantity: str) -> str:
        rows = records(select(effects, set=row["set"], quantity=quantity))
        return interval(rows[0], digits=0) if rows else "undefined (the control has none)"

    return (
        f"{row['set']}: block {row['layer']:.0f}, {TOKENS[row['steered']]}, {row['dose']:.2f} of "
        f"the residual stream's length: trait {row['test_trait']:.0f} at coherence "
        f"{row['test_coherence']:.0f} on test questions; {found('change')} over unsteered, "
        f"{found('over_random')} over random vectors there, {found('over_best_random')} over the "
        f"random vector's own best, {found('over_best_shuffled')} over shuffled labels' best."
    )


def _first(table: pd.DataFrame) -> str:
    """H1: do natural vectors transfer, and are they less effective?"""
    said = []
    for row in records(table):
        if row["status"] != "ok":
            said.append(f"{row['quantity']}: undecided ({row['reason']})")
            continue
        verdict = H1_SAYS[row["quantity"]][row["verdict"]].format(margin=row["margin"])
        said.append(f"{row['a']} over {row['b']}: {interval(row, digits=0)}, {verdict}")
    return (
        "H1, natural vectors (read in the base model) transfer to the instruct model but are less "
        f"effective. Of each source the set that validation put first: {'; '.join(said)}."
    )


def _positions(table: pd.DataFrame, margin: float) -> str:
    start = "H2, the position that a vector is read at matters:"
    if table.empty:
        return f"{start} no source has two positions to compare."
    clear = len(select(table, verdict=("higher", "lower")))
    same = len(select(table, verdict="equivalent"))
    said = "; ".join(
        f"{row['a']} − {row['b']}: {interval(row, digits=0)}, {row['verdict']}"
        for row in records(table)
    )
    return (
        f"{start} of {len(table)} comparisons of one source and method, each at its own best, "
        f"{clear} are clear (Benjamini–Hochberg), {same} equivalent within {margin:g} points and "
        f"{len(table) - clear - same} undecided: {said}."
    )


def checkpoint(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The plan's table behind step 1a, on test questions."""
    yield "Checkpoint: after phase 1"
    head = f"{'layer':<6} {'tokens':<10} {'Δ at ≥ 80':<11} {'Δ at ≥ 70':<11} below 80 from dose"
    yield f"  {'set':<36} {head}"
    table = tables["effects"]
    if table.empty:
        return
    changes = select(table, quantity="change")
    for name in values_of(changes, "set"):
        rows = {row["threshold"]: row for row in records(select(changes, set=name))}
        cells = [f"{rows[t]['estimate']:.0f}" if t in rows else "none" for t in (80.0, 70.0)]
        one = rows.get(70.0) or next(iter(rows.values()))
        edge = "–" if absent(one["incoherent_from"]) else f"{one['incoherent_from']:.2f}"
        where = f"{one['layer']:<6.0f} {one['steered']:<10}"
        yield f"  {name!s:<36} {where} {cells[0]:<11} {cells[1]:<11} {edge}"

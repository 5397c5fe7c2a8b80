"""What steering did, in sentences; the plan's checkpoint behind phase 1."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analyses.model_diff.steer_hypotheses import (
    NONE_WORKS,
    OVER_BEST_RANDOM,
    OVER_INSTRUCTION,
    OVER_RANDOM,
    least_p,
)
from analyses.model_diff.steering import Steering
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from figures.rows import absent, records, select, values_of

WANTED = 30.0
NO_CHOICE = "open: none works on validation questions"
TOKENS = {"all": "all tokens", "prompt": "tokens of the prompt", "generated": "of the answer"}
CANNOT_SAY = (
    "Layer and dose are chosen on validation questions and reported on test questions; the highest "
    "of many validation means is too high by being chosen, the test mean is not.",
    "Random and shuffled vectors get the same search. `over_random` is at the vector's own layer "
    "and dose, where the mean of several random vectors is taken; `over_best_random` is against "
    "the one random vector that was searched, at its own best: a few directions, not all.",
    "A mean rating may count trait points of word salad. `coherent_over_random` does not: "
    "an answer below the threshold of coherence has 0 there, a random vector's as well.",
    "Scores belong to their judge: differences between judges are tens of points. The embedded "
    "world's rule knows its grammar and gives 0 or 100.",
    "A vector is added at one block's output, at every token that was asked for but padding.",
    "Intervals are over subjects of questions, at fixed weights, vectors and judge. Where every "
    "question changes alike there is nothing to resample, and Newcombe's interval stands instead.",
)
H1_SAYS: Mapping[str, str] = {
    "higher": "more",
    "lower": "less",
    "equivalent": "equivalent within {margin:g} points",
    "undecided": "undecided",
}


def summarize(
    steering: Steering, tables: Mapping[str, pd.DataFrame], *, seconds: float
) -> dict[str, Any]:
    plan, record = steering.plan, steering.record
    return summary_of(
        plan.spec,
        record.folder.name,
        judge=steering.judge.fingerprint,
        banner=pocket_banner([plan.extraction.pair.instruct.spec]),
        headline=headline(steering, tables),
        counts={
            "conditions": len(tables["doses"]),
            "validation questions": len(plan.validation),
            "test questions": len(plan.test),
            # Without a control one comparison is missing, and named; the set is measured.
            "missing": len(select(tables["missing"], what="set")) if len(tables["missing"]) else 0,
        },
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def headline(steering: Steering, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    config, effects = steering.plan.config, tables["effects"]
    mine = select(effects, threshold=config.coherence) if len(effects) else effects
    counts = ", ".join(_reached(mine, name, config.coherence) for name in _sources(steering))
    yield (
        f"{_trait(steering)}: sets of vectors that raise the trait on test questions by {WANTED:g} "
        "points or more over random vectors at the same place and dose, with an interval above 0, "
        "a p below 0.05 (sign flips over subjects, Benjamini–Hochberg over sets) and a coherence "
        f"of {config.coherence:g} or more there. A set counts only if it does so twice: by the "
        "mean rating, and with 0 for each answer that is itself less coherent than that: "
        f"{counts}.{_few(mine)}"
    )
    yield _first(tables["natural_vectors"])
    yield _positions(tables["positions"], config.margin)
    for row in records(select(mine, quantity="over_random")) if len(mine) else []:
        yield _set(row, mine)


def _sources(steering: Steering) -> list[str]:
    return list(dict.fromkeys(source.name for source, _ in steering.plan.spans))


def _reached(effects: pd.DataFrame, source: str, coherence: float) -> str:
    every, good = set[str](), list[set[str]]()
    for quantity in ("over_random", "coherent_over_random"):
        rows = records(select(effects, quantity=quantity)) if len(effects) else []
        mine = [row for row in rows if row["set"].startswith(f"{source} ")]
        every |= {row["set"] for row in mine}
        good.append({row["set"] for row in mine if reaches(row, coherence)})
    by_mean, by_coherent = good
    return (
        f"{len(by_mean & by_coherent)} of {len(every)} of the source {source} "
        f"({len(by_mean)} by the mean rating, {len(by_coherent)} by coherent answers)"
    )


def reaches(row: Mapping[str, Any], coherence: float) -> bool:
    clear = row["low"] > 0 and row["p_adjusted"] < 0.05
    return clear and row["estimate"] >= WANTED and row["test_coherence"] >= coherence


def _trait(steering: Steering) -> str:
    plan = steering.plan
    other = plan.extraction.config.trait
    return plan.config.trait if other == plan.config.trait else f"{plan.config.trait} by {other}"


def _set(row: Mapping[str, Any], effects: pd.DataFrame) -> str:
    def found(quantity: str) -> str:
        rows = records(select(effects, set=row["set"], quantity=quantity))
        why = "undefined (no dose of the control is coherent)"
        return interval(rows[0], digits=0) if rows else why

    return (
        f"{row['set']}: block {row['layer']:.0f}, {TOKENS[row['steered']]}, {row['dose']:.2f} of "
        f"the residual stream's length: trait {row['test_trait']:.0f} at coherence "
        f"{row['test_coherence']:.0f} on test questions; {found('change')} over unsteered, "
        f"{found('over_random')}{_p(row)} over random vectors there "
        f"({found('coherent_over_random')} by coherent answers alone), "
        f"{found('over_best_random')} over the random vector's own best, "
        f"{found('over_best_shuffled')} over shuffled labels' best."
    )


def _p(row: Mapping[str, Any]) -> str:
    return "" if absent(row["p_adjusted"]) else f" (adjusted p {row['p_adjusted']:.2g})"


def _few(effects: pd.DataFrame) -> str:
    """Said where no result could count: the numbers below look clear all the same."""
    if effects.empty:
        return ""
    subjects = int(effects["subjects"].to_numpy(int).max())
    least = least_p(subjects)
    if least < 0.05:
        return ""
    return f" {subjects} subjects allow no p below {least:.2g}, so that no set can count here."


def _first(table: pd.DataFrame) -> str:
    """H1: do natural vectors transfer, and are they less effective?"""
    kinds = values_of(table, "tokens") if len(table) else []
    said = " ".join(_first_at(kind, select(table, tokens=kind)) for kind in kinds)
    return (
        "H1, do natural vectors (read in the base model) transfer to the instruct model, less "
        "effectively? Of each source the set that validation put first, for each kind of tokens "
        f"(the plan's is all): {said or 'nothing was searched.'}"
    )


def _first_at(kind: str, table: pd.DataFrame) -> str:
    rows = {row["quantity"]: row for row in records(table)}
    sets = f"{rows[OVER_RANDOM]['sets_a']} natural, {rows[OVER_INSTRUCTION]['sets_b']} instruction"
    said = "; ".join(_compared(row) for row in rows.values())
    return f"Added to {TOKENS[kind]} (searched sets: {sets}): {said}; {_transfer(rows)}."


def _compared(row: Mapping[str, Any]) -> str:
    if row["status"] != "ok":
        return f"{row['quantity']}: undecided ({row['reason']})"
    if row["verdict"] == NONE_WORKS:
        return f"{row['a']} over {row['b']}: {NONE_WORKS}, no more than unsteered ({_tied(row)})"
    verdict = H1_SAYS[row["verdict"]].format(margin=row["margin"])
    why = f" ({row['reason']})" if row["reason"] else ""
    return f"{row['a']} over {row['b']}: {interval(row, digits=0)}, {verdict}{why}"


def _transfer(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Said only where both comparisons with random vectors are clear."""
    verdicts = {rows[quantity]["verdict"] for quantity in (OVER_RANDOM, OVER_BEST_RANDOM)}
    if verdicts == {"higher"}:
        return "so they transfer"
    if verdicts <= {"equivalent", "lower"}:
        return "so they do not transfer"
    return "so whether they transfer is " + (NO_CHOICE if NONE_WORKS in verdicts else "undecided")


def _tied(row: Mapping[str, Any]) -> str:
    sides = ("a", "b") if row["picked_by_tie"] == "both" else (row["picked_by_tie"],)
    return ", ".join(str(row[side]) for side in sides)


def _positions(table: pd.DataFrame, margin: float) -> str:
    start = "H2, does the position that a vector is read at matter?"
    if table.empty:
        return f"{start} No source has two positions to compare."
    clear, same, idle = (
        len(select(table, verdict=said)) for said in (("higher", "lower"), "equivalent", NONE_WORKS)
    )
    said = "; ".join(_pair(row) for row in records(table))
    return (
        f"{start} A position is represented by one vector at its own best place. Of {len(table)} "
        f"comparisons of one source and method {clear} are clear (Benjamini–Hochberg), {same} "
        f"equivalent within {margin:g} points, {idle} without a choice, because on validation "
        f"questions none of a position's works, and {len(table) - clear - same - idle} undecided: "
        f"{said}."
    )


def _pair(row: Mapping[str, Any]) -> str:
    start = f"{row['a']} − {row['b']}: "
    if row["verdict"] == NONE_WORKS:
        return f"{start}{NONE_WORKS} ({_tied(row)})"
    why = f" ({row['reason']})" if row["reason"] else ""
    return f"{start}{interval(row, digits=0)}, {row['verdict']}{why}"


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

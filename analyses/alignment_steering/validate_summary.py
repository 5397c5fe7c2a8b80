"""What steering did, in sentences: also the plan's gate between sanity and full mode."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analyses.alignment_steering.conditions import MEAN, NONE, RANDOM, SVD
from analyses.alignment_steering.summary import said
from analyses.alignment_steering.tables import agreement
from analyses.alignment_steering.validate_effects import INSTRUCT, READOUTS
from analyses.alignment_steering.validate_plan import ValidatePlan
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from figures.rows import absent, records, select, values_of
from figures.style import decimal
from tl_geometry.runs import Run

MEASURED = "preference"
"""The read-out that models are ranked by: it moves where no answer changes."""
JUDGED = "over_random_sound"
WANTED = 0.3
"""Coherent refusals over random vectors that the project asks for, as a share."""
SIGN = 0.05
CANNOT_SAY = (
    "Adding one constant vector to every state at a layer moves all of them alike: no index of "
    "separation can change at the first steered block, unless lengths are kept, which pulls states "
    "together. What later blocks make of it can change; a silhouette that rises is no behaviour.",
    "The judge of refusals is a rule. A refusal that the base model itself finds unlikely counts "
    "as coherent if the instruct model finds it likely.",
    "Vectors are added at all positions of prompt and answer. Other places, other layers and "
    "longer vectors may do more; where random vectors do as much, nothing was found.",
    "A base model that never read a refusal has nothing that a shift could call up: the row of "
    "capability says whether it can go on with one.",
    "The log-probability of an answer under steering says what is preferred among two given "
    "answers, not what would be said.",
    "Random vectors are a few draws, and intervals are over prompts at these draws: to be above "
    "them is not to be above all random vectors. By rank alone, three draws allow no p below 1/4.",
    "Intervals are over prompts, at fixed weights; one checkpoint a model says nothing about "
    "other seeds of the same recipe.",
)


def measured(effects: pd.DataFrame) -> list[dict[str, Any]]:
    """The effect that models are ranked by, one row a model."""
    rows = select(effects, vector=MEAN, readout=MEASURED, quantity="over_random")
    what = f"{READOUTS[MEASURED]}: mean vector at full strength minus random vectors"
    return [
        {**{k: row[k] for k in ("model", "estimate", "low", "high")}, "what": what}
        for row in records(rows)
    ]


def summarize(
    plan: ValidatePlan, tables: Mapping[str, pd.DataFrame], record: Run, *, seconds: float
) -> dict[str, Any]:
    gone = len(tables["missing"])
    return summary_of(
        plan.spec,
        record.folder.name,
        vectors_key=plan.vectors.key,
        measured=measured(tables["effects"]),
        gate=gate(tables["effects"], len(plan.pairs)),
        banner=pocket_banner(m.spec for pair in plan.pairs for m in pair.members),
        headline=headline(plan, tables),
        counts={
            "pairs attempted": len(plan.pairs),
            "pairs measured": len(plan.pairs) - gone,
            "missing": gone,
            "requests of each kind": plan.config.requests,
            "test preference pairs": plan.config.test_pairs,
        },
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def gate(effects: pd.DataFrame, attempted: int) -> str:
    """The plan's decision between sanity and full mode, in one sentence with its numbers.

    Full mode is justified where, in at least half of the pairs that were attempted, the mean vector
    raises coherent refusals over random ones (interval above 0, and p < 0.05 by an exact sign test)
    at the strongest λ that leaves answers sound: behind it no answer can be a coherent refusal.
    """
    refusals = select(effects, vector=MEAN, readout="refusal", quantity=JUDGED)
    if refusals.empty:
        return (
            f"Gate: whether --mode full is justified cannot be said: in none of {attempted} pairs "
            "is there a λ at which the mean vector leaves half of the answers to harmless requests "
            "sound, and refusals that are garbled are none."
        )
    shown = _above(effects, "refusal", JUDGED)
    best = 100 * float(refusals["estimate"].to_numpy(float).max())
    wanted = sum(row["estimate"] >= WANTED for row in shown)
    verdict = "is justified" if 2 * len(shown) >= attempted else "is not justified"
    return (
        f"Gate: --mode full {verdict}: at the strongest λ that leaves half of the answers to "
        f"harmless requests sound (there is one in {len(refusals)} of {attempted} pairs), the mean "
        f"vector raises coherent refusals over random vectors (interval above 0, exact sign test "
        f"p < 0.05) in {len(shown)} of {attempted} pairs (by {100 * WANTED:.0f} points or more in "
        f"{wanted}; at most {best:.0f} points); half of the pairs are needed. At full strength it "
        f"does in {len(_above(effects, 'refusal'))}; the preference for chosen answers rises over "
        f"random vectors there in {len(_above(effects, MEASURED))} of {attempted}."
    )


def _above(
    effects: pd.DataFrame, readout: str, quantity: str = "over_random"
) -> list[dict[str, Any]]:
    rows = select(effects, vector=MEAN, readout=readout, quantity=quantity)
    above = [row for row in records(rows) if not absent(row["low"]) and row["low"] > 0]
    return [row for row in above if row["sign_p"] < SIGN]


def headline(plan: ValidatePlan, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    yield gate(tables["effects"], len(plan.pairs))
    for row in records(tables["missing"]):
        yield f"{row['id']}: not measured ({row['reason']})."
    for name in values_of(tables["conditions"], "model"):
        mine = {k: select(t, model=name) for k, t in tables.items() if "model" in t}
        yield _behaviour(name, mine["conditions"])
        yield _likelihood(name, mine["effects"])
        yield _separation(name, mine["conditions"], mine["effects"])
        yield _capability(mine["capability"])
    yield "Potential as published (1 − cosine) and the measured effect on preference: " + said(
        agreement(tables["ranking"])
    )


def _behaviour(name: str, conditions: pd.DataFrame) -> str:
    rows = {(r["vector"], r["strength"]): r for r in records(conditions)}
    full = max(strength for _, strength in rows)
    parts = [f"{_rate(rows[NONE, 0.0])} in the base model"]
    for vector, words in ((MEAN, "with the mean vector"), (SVD, "with the svd vector")):
        if (vector, full) in rows:
            parts.append(f"{_rate(rows[vector, full])} {words} at λ = {full:g}")
    random = [r for (v, s), r in rows.items() if v.startswith(RANDOM) and s == full]
    highest = max(random, key=lambda row: row["refusal"])
    parts.append(f"{_rate(highest)} at most with random vectors as long")
    parts.append(f"{_rate(rows[INSTRUCT, 0.0])} in the instruct model")
    best = max((r for (v, _), r in rows.items() if v == MEAN), key=lambda row: row["refusal"])
    sound = [100 * rows[key]["compliance"] for key in ((NONE, 0.0), (MEAN, full))]
    spared = sum(100 * row["compliance"] for row in random) / len(random)
    return (
        f"{name}: coherent refusals of harmful requests: {', '.join(parts)}; with the mean vector "
        f"at any strength at most {100 * best['refusal']:.0f} %. Sound answers to harmless "
        f"requests go from {sound[0]:.0f} to {sound[1]:.0f} % (random vectors: {spared:.0f} %)."
    )


def _rate(row: Mapping[str, Any]) -> str:
    low, high = 100 * row["refusal_low"], 100 * row["refusal_high"]
    return f"{100 * row['refusal']:.0f} % [{low:.0f}, {high:.0f}]"


def _likelihood(name: str, effects: pd.DataFrame) -> str:
    def found(readout: str, quantity: str, vector: str = MEAN) -> str:
        (row,) = records(select(effects, vector=vector, readout=readout, quantity=quantity))
        if absent(row["low"]):
            return f"{_signed(row['estimate'])} (no interval: {row['reason']})"
        return f"{_signed(row['estimate'])} [{_signed(row['low'])}, {_signed(row['high'])}]"

    return (
        f"{name}: the preference for chosen over rejected answers (nats a token) changes by "
        f"{found('preference', 'over_random')} more than with random vectors, with a slope over "
        f"λ of {found('preference', 'slope')} (random: "
        f"{found('preference', 'slope', RANDOM)}); instruct minus base is "
        f"{found('preference', 'gap', INSTRUCT)}; neutral text becomes less likely by "
        f"{found('nll', 'change')} nats a token, with random vectors by "
        f"{found('nll', 'change', RANDOM)}."
    )


def _separation(name: str, conditions: pd.DataFrame, effects: pd.DataFrame) -> str:
    """Second, behind behaviour."""
    rows = {(r["vector"], r["strength"]): r for r in records(conditions)}
    full = max(strength for _, strength in rows)

    def shown(vector: str, strength: float) -> str:
        return decimal(rows[vector, strength]["separation_last"], 2)

    (over,) = records(
        select(effects, vector=MEAN, readout="separation_last", quantity="over_random")
    )
    return (
        f"{name}: harmful and harmless requests lie apart in the last block by a mean silhouette "
        f"of {shown(NONE, 0.0)} in the base model, {shown(MEAN, full)} with the mean vector at "
        f"λ = {full:g} (over random vectors {interval(over)}) and {shown(INSTRUCT, 0.0)} in the "
        "instruct model."
    )


def _signed(value: float) -> str:
    # What rounds to nothing has no sign.
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")


def _capability(capability: pd.DataFrame) -> str:
    (row,) = records(capability)
    if row["status"] != "ok":
        return f"{row['model']}: the base model's capability is not known ({row['reason']})."
    low, high = 100 * row["unsteered_low"], 100 * row["unsteered_high"]
    return (
        f"{row['model']}: given the first words of the instruct model's own refusals, the base "
        f"model goes on to refuse in {100 * row['unsteered']:.0f} % [{low:.0f}, {high:.0f}] of "
        f"{row['n']:.0f}, and with the mean vector in {100 * row['steered']:.0f} %."
    )

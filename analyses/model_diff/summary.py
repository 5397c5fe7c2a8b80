"""What an extraction found, in sentences: the source of `summary.json`; the plan's checkpoint."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analyses.model_diff.plan import Plan
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from figures.model_diff.vectors import alike
from figures.rows import absent, records, select
from tl_geometry.runs import Run

CANNOT_SAY = (
    "Sources differ in three things at once: how the trait is elicited (system prompts, "
    "narratives), which model responds (instruct, base), and what the scenarios are about. This "
    "confound is the plan's, and accepted: a better vector of one source is a practical finding "
    "and no effect of tuning.",
    "Held-out accuracy is of scenarios of the same kind: whatever else differs between the two "
    "sides (length, opening words, the system prompt's own wording) tells them apart as well. "
    "Whether a vector changes what a model does is not measured here.",
    "Vetted responses were kept by what they say: that their states differ is partly by choice. "
    "Vetting is for the vector's sake, and accuracy is of the responses that are left. Where the "
    "embedded world's rule vets, it is the one that rates steered answers as well.",
    "Labels are shuffled inside groups. A group of one pair keeps or exchanges its sides, so the "
    "accuracy expected of such labels is somewhat above one half.",
    "Accuracies of neighbouring layers and of overlapping positions come from the same responses: "
    "they are no independent confirmations.",
    "A probe's length is the steepness of a regression: only its direction is a finding.",
    "Intervals are over groups of scenarios, at fixed weights: one checkpoint a model says "
    "nothing about other seeds of the same recipe.",
)


def summarize(
    plan: Plan, tables: Mapping[str, pd.DataFrame], record: Run, *, seconds: float
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions and seconds."""
    return summary_of(
        plan.spec,
        record.folder.name,
        banner=pocket_banner(m.spec for m in (plan.pair.base, plan.pair.instruct)),
        headline=headline(plan, tables),
        counts={
            "vector sets": len(vector_sets(tables["vectors"])),
            "responses": sum(tables["responses"]["n"].tolist()),
            "missing": len(tables["missing"]),
        },
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def vector_sets(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    good = select(table, status="ok")
    found = zip(good["source"], good["position"], good["method"], strict=True)
    return list(dict.fromkeys(found))


def headline(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    sets = vector_sets(tables["vectors"])
    yield (
        f"{plan.config.trait}: {len(sets)} sets of vectors, one a source, position and method, at "
        f"{plan.n_layers} layers each."
    )
    for row in records(tables["responses"]):
        yield _said(row)
    for source, position, method in sets:
        yield _told(select(tables["vectors"], source=source, position=position, method=method))
    yield _alike(tables["cosines"])


def _said(row: Mapping[str, Any]) -> str:
    shown = ""
    if not absent(row.get("shows")):
        share = {"estimate": 100 * row["shows"], "low": 100 * row["shows_low"],
                 "high": 100 * row["shows_high"], "reason": ""}  # fmt: skip
        shown = f", {interval(share, digits=0)} % of them show the trait"
    copies = row["n"] - row["distinct"]
    same = f", {copies:.0f} word for word like another" if copies else ""
    if row["kept"] < row["n"]:
        same += (
            f"; {row['does_not_hold']:.0f} do not show what the side stands for, and without them "
            f"and their pairs {row['kept']:.0f} are kept"
        )
    return (
        f"{row['source']}, {row['side']} side ({row['model']}): {row['n']:.0f} responses of "
        f"{row['tokens']:.0f} tokens on average{shown}{same}."
    )


def _told(rows: pd.DataFrame) -> str:
    """The middle third's layers are named by their range: the best of all would be chosen by what
    is reported."""
    first, last = rows["layer"].min(), rows["layer"].max()
    n = last - first + 1
    middle = rows[(rows["layer"] >= n // 3) & (rows["layer"] < n - n // 3)]
    accuracy, chance = middle["accuracy"], middle["shuffled_accuracy"]
    ends = middle["shuffled_accuracy_low"].min(), middle["shuffled_accuracy_high"].max()
    row = records(rows)[0]
    return (
        f"{row['source']} {row['position']} {row['method']}: held-out scenarios are told apart "
        f"with an accuracy of {accuracy.min():.2f} to {accuracy.max():.2f} in the middle third of "
        f"the layers (lowest interval end {middle['accuracy_low'].min():.2f}; labels shuffled "
        f"inside groups, once: {chance.min():.2f} to {chance.max():.2f}, interval ends "
        f"{ends[0]:.2f} and {ends[1]:.2f}; {row['groups']:.0f} groups)."
    )


def _alike(cosines: pd.DataFrame) -> str:
    if cosines.empty:
        return "One set of vectors has nothing to be compared with."
    found = {pair: mean for pair, (mean, *_) in alike(cosines).items()}
    if len(found) == 1:
        ((names, cosine),) = found.items()
        return f"{names[0]} and {names[1]} have a cosine of {cosine:.2f}, mean over layers."
    low, high = (extreme(found, key=lambda pair: found[pair]) for extreme in (min, max))
    return (
        f"Most alike are {high[0]} and {high[1]} (cosine {found[high]:.2f}, mean over layers), "
        f"least {low[0]} and {low[1]} ({found[low]:.2f})."
    )


def checkpoint(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The plan's list behind phase 0: which sets there are, and where."""
    yield "Checkpoint: after phase 0"
    for source, position, method in vector_sets(tables["vectors"]):
        rows = select(tables["vectors"], source=source, position=position, method=method)
        yield f"  {source:<12} {position:<16} {method:<10} {len(rows)} layers"

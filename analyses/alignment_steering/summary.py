"""What an extraction found, in sentences and numbers: the source of `summary.json`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analyses.alignment_steering.analysed import QUANTITIES, SIDES
from analyses.alignment_steering.plan import Plan
from analyses.alignment_steering.tables import agreement, mean_of
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from figures.rows import records, select
from figures.style import decimal
from tl_geometry.runs import Run

CANNOT_SAY = (
    "The vector compares two models, not two answers: it holds whatever tuning changed (format, "
    "topic, length, style), of which alignment is one part. What steering with it does is "
    "measured by `validate`.",
    "A low cosine of mean states is read by the plan as room for steering. It is a distance "
    "between two models, and says nothing about what adding the difference would do.",
    "The length of the svd vector is the mean's by construction, so no plot of lengths can tell "
    "the two apart; its sign is arbitrary and is turned towards the mean.",
    "Centring removes the shift that all texts share. Explained variance around the mean cannot "
    "say how much of the difference is that shift: the uncentred shares can.",
    "The length of a mean difference is above 0 for noise too; the two halves' cosine says "
    "whether a shift is shared.",
    "Intervals are over prompts, at fixed weights: one checkpoint a model says nothing about "
    "other seeds of the same recipe.",
)


def summarize(
    plan: Plan, tables: Mapping[str, pd.DataFrame], record: Run, *, seconds: float
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions and seconds."""
    good = select(tables["pairs"], status="ok")
    return summary_of(
        plan.spec,
        record.folder.name,
        banner=pocket_banner(m.spec for pair in plan.pairs for m in pair.members),
        headline=headline(plan, tables),
        counts={
            "pairs attempted": len(plan.pairs),
            "pairs measured": len(good),
            "missing": len(plan.pairs) - len(good),
            "preference pairs": plan.config.n_samples,
            "data": plan.source,
        },
        quantities=dict(QUANTITIES),
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def headline(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    for row in records(tables["pairs"]):
        if row["status"] != "ok":
            yield f"{row['model']}: not measured ({row['reason']})."
        else:
            yield _pair(row, select(tables["layers"], model=row["model"]))
    yield _ranking(tables["ranking"])
    if plan.config.svd:
        yield _svd(plan, tables["layers"])


def _pair(row: Mapping[str, Any], layers: pd.DataFrame) -> str:
    of_means = [number(row[f"cosine_{side}"], 3) for side in SIDES]
    coherent = number(mean_of(layers, "coherence_across"))
    sides, preference = (
        number(mean_of(layers, name, "both"))
        for name in ("sides_cosine", "instruct_preference_cosine")
    )
    return (
        f"{row['model']} − {row['base']}: cosine of the mean states {of_means[0]} on chosen and "
        f"{of_means[1]} on rejected answers (mean over layers, n = {row['n']:.0f}); two halves of "
        f"the texts give mean differences with cosine {number(row['halves_cosine'])}, and a "
        f"text's difference has cosine {coherent} with the other half's mean (0 for noise). The "
        f"differences on chosen and on rejected answers have cosine {sides}; the cosine of the "
        f"difference with chosen − rejected inside the instruct model is {preference}."
    )


def number(value: float, digits: int = 2) -> str:
    return "undefined" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _mean(rows: pd.DataFrame) -> float:
    found = rows["estimate"].dropna().to_numpy(float)
    return float(found.mean()) if len(found) else float("nan")


def _ranking(ranking: pd.DataFrame) -> str:
    order = ", ".join(f"{r['model']} ({r['potential']:.3f})" for r in records(ranking))
    return f"Steering potential as published (1 − cosine), highest first: {order}. " + said(
        agreement(ranking)
    )


def said(found: Mapping[str, Any]) -> str:
    """Whether potential and measured effect rank the models alike."""
    if "tau" not in found:
        return f"Whether measured effects rank them alike is undecided ({found['reason']})."
    words = {
        "agree": "ranks them alike",
        "disagree": "ranks them the other way round",
        "undecided": "neither clearly agrees nor disagrees",
    }
    return (
        f"The measured effect {words[found['verdict']]}: Kendall's τ = "
        f"{interval(found, estimate='tau')}, Spearman's ρ = {decimal(found['rho'], 2)}, "
        f"{found['models']} models."
    )


def _svd(plan: Plan, layers: pd.DataFrame) -> str:
    first, share, cosine = (
        _mean(select(layers, quantity=name)) for name in ("first_share", "svd_share", "svd_cosine")
    )
    return (
        f"The published vector, component {plan.config.svd_component} around the mean, holds "
        f"{number(share, 3)} of the energy there, and its cosine with the mean difference is "
        f"{number(cosine)} (mean over pairs and layers); the first uncentred component holds "
        f"{number(first)} of all energy."
    )

"""What the plan's scripts print: their banner and their table of results."""

import math
from collections.abc import Iterator

import pandas as pd

from analyses.alignment_steering.config import SEED_NAMES
from analyses.alignment_steering.plan import Plan
from figures.rows import records

WIDE, NARROW = "=" * 70, "=" * 60
POTENTIAL = ("Highest", "High", "Good", "Moderate", "Low", "Minimal")
"""The plan's words for ranks 1 to 6."""
DATA_NAMES = {"hh-rlhf": "Anthropic/hh-rlhf"}


def shown(name: str) -> str:
    """The plan's name of a model, where it has one."""
    return SEED_NAMES.get(name, name)


def banner(plan: Plan) -> Iterator[str]:
    config = plan.config
    svd = f"Enabled (component {config.svd_component})" if config.svd else "Disabled"
    yield NARROW
    yield "Phase 2: Extract Steering Vectors (D_STEER)"
    yield NARROW
    yield f"Mode: {config.mode} | Samples: {config.n_samples}"
    yield f"Dataset: {DATA_NAMES.get(plan.source, plan.source)}"
    yield f"SVD: {svd}"
    yield f"Cache: {'Enabled' if config.cache else 'Disabled'}"
    yield f"Models: {[shown(pair.name) for pair in plan.pairs]}"
    yield f"Output: {plan.folder}"


def results(plan: Plan, pairs: pd.DataFrame) -> Iterator[str]:
    yield WIDE
    yield "PHASE 2 RESULTS: Steering Vectors Extracted (D_STEER)"
    yield WIDE
    yield f"{'Model':<19} {'Layers':<8} {'Dim':<8} {'CosSim(C)':<12} CosSim(R)"
    yield "-" * 70
    for row in records(pairs):
        if row["status"] != "ok":
            yield f"{shown(row['model']):<19} not measured: {row['reason']}"
            continue
        cosines = [_cosine(row[name]) for name in ("cosine_chosen", "cosine_rejected")]
        shape = f"{row['n_layers']:<8.0f} {row['d_model']:<8.0f}"
        yield f"{shown(row['model']):<19} {shape} {cosines[0]:<12} {cosines[1]}"
    yield "-" * 70
    yield f"Output: {plan.folder}"
    yield WIDE


def ranked(ranking: pd.DataFrame) -> Iterator[str]:
    """The plan's ranking, with what steering did where that was measured."""
    yield "Steering potential (1 − cosine; lower cosine = more room, as the plan reads it)"
    yield f"{'Rank':<5} {'Model':<19} {'CosSim':<8} {'Potential':<10} Measured effect"
    for row in records(ranking):
        word = POTENTIAL[min(int(row["rank"]), len(POTENTIAL)) - 1]
        found = (
            "not measured: run validate"
            if pd.isna(row["measured"])
            else f"{row['measured']:+.3f} (rank {row['measured_rank']:.0f})"
        )
        name = shown(row["model"])
        yield f"{row['rank']:<5} {name:<19} {row['cosine']:<8.4f} {word:<10} {found}"


def _cosine(value: float) -> str:
    return "undefined" if value is None or math.isnan(value) else f"{value:.4f}"

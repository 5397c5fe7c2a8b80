"""Does similarity over layers go with what vectors do there, or with how the weights changed?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyses.model_diff.similarity_plan import SimilarityPlan
from analyses.model_diff.similarity_states import ARMS
from analyses.model_diff.similarity_transfer import curve_of
from figures.rows import select
from tl_geometry.layer_curves import Correlation, curve_correlation

ALL = "all"
"""Prompts of every trait."""
WEIGHTS = "weight change"
Row = dict[str, Any]


def correlations(
    plan: SimilarityPlan,
    similarity: pd.DataFrame,
    transfer: pd.DataFrame,
    weights: tuple[Mapping[int, float], str],
) -> pd.DataFrame:
    """Of the mean over all prompts, as in the plan, with every curve."""
    curves = {f"transfer {trait}": curve_of(transfer, trait) for trait in plan.config.traits}
    change, reason = weights
    curves[WEIGHTS] = (list(change), list(change.values()), reason)
    rows = []
    for name, (layers, values, reason) in curves.items():
        for arm in ARMS:
            for measure in ("cosine", "centred"):
                about = {"with": name, "arm": arm, "measure": measure, "n": len(layers)}
                mine = select(similarity, scope=ALL, arm=arm, measure=measure)
                known = dict(zip(mine["layer"].tolist(), mine["estimate"].tolist(), strict=True))
                alike = [known[layer] for layer in layers]
                rows.append({**about, **_correlated(layers, alike, values, reason)})
    ends = [f"{c}_{end}" for c in ("pearson", "spearman") for end in ("r", "low", "high", "p")]
    columns = ["with", "arm", "measure", "n", *ends, "p_shifted", "status", "reason"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _correlated(
    layers: Sequence[int], alike: Sequence[float], values: Sequence[float], reason: str
) -> Row:
    if reason:
        return {"status": "missing", "reason": reason}
    try:
        found = curve_correlation(np.array(layers), np.array(alike), np.array(values, float))
    except ValueError as error:
        return {"status": "missing", "reason": str(error)}
    coefficients = {"pearson": found.pearson, "spearman": found.spearman}
    numbers = {k: v for name, c in coefficients.items() for k, v in _named(name, c).items()}
    return {**numbers, "p_shifted": found.p_shifted, "status": "ok", "reason": found.p_reason}


def _named(name: str, found: Correlation) -> Row:
    return {f"{name}_r": found.r, f"{name}_low": found.low, f"{name}_high": found.high,
            f"{name}_p": found.p}  # fmt: skip

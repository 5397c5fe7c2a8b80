"""Does similarity over layers go with what vectors do there, or with how the weights changed?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyses.model_diff.similarity_plan import SimilarityPlan
from analyses.model_diff.similarity_states import ARMS
from analyses.model_diff.similarity_transfer import curve_of
from figures.rows import select
from tl_geometry.association import partial_association
from tl_geometry.layer_curves import Correlation, curve_correlation

ALL = "all"
"""Prompts of every trait."""
WEIGHTS = "weight change"
DEPTH = ("equal_depth_r", "equal_depth_spearman", "equal_depth_reason")
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
    columns = ["with", "arm", "measure", "n", *ends, "p_shifted", *DEPTH, "status", "reason"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _correlated(
    layers: Sequence[int], alike: Sequence[float], values: Sequence[float], reason: str
) -> Row:
    if not reason and len(set(values)) == 1:
        reason = f"the curve is {values[0]:g} at all of its {len(values)} layers"
    if reason:
        return {"status": "missing", "reason": reason}
    try:
        found = curve_correlation(np.array(layers), np.array(alike), np.array(values, float))
    except ValueError as error:
        return {"status": "missing", "reason": str(error)}
    coefficients = {"pearson": found.pearson, "spearman": found.spearman}
    numbers = {k: v for name, c in coefficients.items() for k, v in _named(name, c).items()}
    numbers |= {"p_shifted": found.p_shifted, **_at_equal_depth(layers, alike, values)}
    return {**numbers, "status": "ok", "reason": found.p_reason}


def _at_equal_depth(layers: Sequence[int], alike: Sequence[float], values: Sequence[float]) -> Row:
    """What is left when both curves are freed of their straight line over depth: two that merely
    run from one end to the other correlate whatever they are of."""
    curves = (np.array(column, float) for column in (values, alike, layers))
    try:
        found = partial_association(*curves, n_permutations=1, rng=np.random.default_rng(0))
    except ValueError as error:
        return {"equal_depth_reason": str(error)}
    # Its p permutes layers as if they were independent, and is left out.
    return {"equal_depth_r": found.pearson, "equal_depth_spearman": found.spearman}


def _named(name: str, found: Correlation) -> Row:
    return {f"{name}_r": found.r, f"{name}_low": found.low, f"{name}_high": found.high,
            f"{name}_p": found.p}  # fmt: skip

"""Do the models choose the same depth?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.cross_architecture.critical import DEFINITIONS
from analyses.cross_architecture.gaps import chosen_layers
from analyses.cross_architecture.recording import Record
from tl_geometry.sites import depth_percent


def concordance_table(models: Sequence[Record], resamples: int, seed: int) -> pd.DataFrame:
    """Do the models choose the same depth? Mean distance between two models' critical depths.

    Beside it what chance gives: every model's layer drawn evenly from its candidates.
    """
    rows = []
    for definition in DEFINITIONS:
        parts = [_depths(r, definition, resamples, seed) for r in models]
        parts = [p for p in parts if p is not None]
        if len(parts) < 2:
            continue
        chosen = np.array([p[0] for p in parts])
        drawn = np.stack([p[1] for p in parts])
        rng = np.random.default_rng([seed, 8])
        chance = np.stack([rng.choice(p[2], size=resamples) for p in parts])
        by_chance = _mean_distance(chance)
        apart = float(_mean_distance(chosen[:, None])[0])
        low, high = np.quantile(_mean_distance(drawn), [0.025, 0.975])
        rows.append(
            {
                "definition": definition,
                "models": len(parts),
                "median_depth_percent": float(np.median(chosen)),
                "mean_distance": apart,
                "low": float(low),
                "high": float(high),
                "by_chance": float(by_chance.mean()),
                "p_nearer_than_chance": float((1 + (by_chance <= apart).sum()) / (1 + resamples)),
            }
        )
    return pd.DataFrame(rows)


def _depths(record: Record, definition: str, resamples: int, seed: int) -> Any:
    """(chosen depth, depths of the resamples, depths of all candidates), per cent."""
    layers, choice, drawn = chosen_layers(record, definition, "all", resamples, seed)
    if not layers:
        return None
    candidates = np.array([depth_percent(n, record.depths.n_layers) for n in layers])
    return candidates[choice], candidates[drawn], candidates


def _mean_distance(
    depths: Float[np.ndarray, "model draw"],
) -> Float[np.ndarray, " draw"]:
    """Mean absolute difference over all pairs of models."""
    k = len(depths)
    apart = np.abs(depths[:, None] - depths[None]).sum((0, 1))
    return apart / (k * (k - 1))

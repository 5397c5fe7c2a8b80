"""The shape of a curve over model sizes, with how sure it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from tl_geometry.resampling import shared_weights

FLAT = 0.1
"""Rates within this of each other are the same; the margin was stated before."""
SHAPES = ("rising", "falling", "peak", "dip", "flat", "mixed")
RESAMPLES = 10_000


def shapes(rates: Float[np.ndarray, "resample size"]) -> list[str]:
    """The shape of each row, sizes ascending.

    *flat*: all within 10 points. *peak* (*dip*): some size between is above (below) both ends by
    more than that. *rising*, *falling*: the ends differ by more than that. Else *mixed*.
    """
    # Rounded, because 0.7 - 0.6 is less than 0.1 to a computer.
    first, last = rates[:, 0], rates[:, -1]
    rise, inner = np.round(last - first, 9), rates[:, 1:-1] if rates.shape[1] > 2 else None
    spread = np.round(np.ptp(rates, axis=1), 9)
    over = np.zeros(len(rates)) if inner is None else inner.max(1) - np.maximum(first, last)
    under = np.zeros(len(rates)) if inner is None else np.minimum(first, last) - inner.min(1)
    cases = [spread <= FLAT, over.round(9) > FLAT, under.round(9) > FLAT, rise > FLAT, rise < -FLAT]
    return np.select(cases, ["flat", "peak", "dip", "rising", "falling"], "mixed").tolist()


def shape_of(refused: Bool[np.ndarray, "prompt size"], seed: int = 0) -> dict[str, Any]:
    """The measured shape, and the share of resamples of the prompts in which each comes out.

    All sizes answered the same prompts, so prompts are resampled for all sizes at once. ValueError
    for fewer than two sizes.
    """
    n, sizes = refused.shape
    if sizes < 2:
        raise ValueError("a curve needs at least two sizes")
    weights = shared_weights(n, RESAMPLES, seed, n)
    drawn = shapes(weights @ refused / n)
    probabilities = {shape: drawn.count(shape) / len(drawn) for shape in SHAPES}
    (measured,) = shapes(refused.mean(0, keepdims=True))
    return {"shape": measured, **probabilities}


def curve_table(
    refused: Mapping[str, Mapping[str, Sequence[bool]]], sizes: Sequence[str], seed: int = 0
) -> pd.DataFrame:
    """One row a method; `refused` holds, by method and model, whether each prompt was refused."""
    rows = []
    for method, by_model in refused.items():
        there = [name for name in sizes if name in by_model]
        if len(there) > 1:
            table = np.array([by_model[name] for name in there]).T
            rows.append({"method": method, "sizes": ", ".join(there), **shape_of(table, seed)})
    return pd.DataFrame(rows, columns=["method", "sizes", "shape", *SHAPES])

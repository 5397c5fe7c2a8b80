"""Means over pairs or texts, layer by layer, for figures of raw measurements."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from figures.rows import layers_of, select


def means_by_layer(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean and 95 % t interval of a column at each layer, over the rows that have a value.

    `left_out` counts the others. There is no interval below three values, nor where all are
    equal; `reason` says so.
    """
    found = []
    for layer in layers_of(table):
        cells = select(table, layer=layer)
        values = cells[column].dropna().to_numpy(float)
        low, high, why = _t_interval(values, len(cells))
        found.append(
            {
                "layer": layer,
                "depth_percent": cells["depth_percent"].iloc[0],
                "estimate": values.mean() if len(values) else np.nan,
                "low": low,
                "high": high,
                "n": len(values),
                "left_out": len(cells) - len(values),
                "status": "missing" if why else "ok",
                "reason": why,
            }
        )
    return pd.DataFrame(found)


def _t_interval(values: Float[np.ndarray, " n"], n_rows: int) -> tuple[float, float, str]:
    n = len(values)
    if n == 0:
        return np.nan, np.nan, f"undefined in all {n_rows}"
    if np.ptp(values) == 0:
        return np.nan, np.nan, f"the same value in all {n}: {values[0]:.3g}"
    if n < 3:
        return np.nan, np.nan, f"an interval needs 3 values, got {n}"
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return values.mean() - half, values.mean() + half, ""

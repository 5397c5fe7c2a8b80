"""Does a method make a family refuse? From coherent refusals on test prompts only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyses.refusal.config import FREE
from figures.rows import records, select

WORKS, PARTIAL, BREAKDOWN = 0.6, 0.2, 0.4
PEAK, FLAT = 0.2, 0.1
"""A peak is higher than its neighbours by more than this; a flat line stays within this."""
Row = Mapping[str, Any]


def preference(coherent: float, row: Row) -> tuple[float, float, float, bool]:
    """Sorts searched conditions, best first: most coherent refusals; then the smaller dose, the
    shallower layer, and a depth before the method's own choice."""
    return (-coherent, row["dose"], row["layer"], row["depth"] == FREE)


def verdict(coherent: float, garbled: float) -> str:
    """*works* c ≥ .6; else *breakdown* g ≥ .4; else *partial* c ≥ .2; else *fails*."""
    if coherent >= WORKS:
        return "works"
    if garbled >= BREAKDOWN:
        return "breakdown"
    return "partial" if coherent >= PARTIAL else "fails"


def uncertain(low: float, high: float) -> bool:
    """Whether the interval of the coherent rate holds a threshold."""
    return any(low < threshold <= high for threshold in (WORKS, PARTIAL))


def layer_pattern(rates: Sequence[float]) -> str:
    """*peak*, *gradual* or *flat* of the coherent rates at ascending depths."""
    # Rounded, because 0.8 - 0.6 is more than 0.2 to a computer.
    values = np.array(rates, float)
    if round(np.ptp(values), 9) <= FLAT:
        return "flat"
    best = int(values.argmax())
    beside = [values[i] for i in (best - 1, best + 1) if 0 <= i < len(values)]
    if all(round(values[best] - other, 9) > PEAK for other in beside):
        return "peak"
    steps = np.diff(values).round(9)
    return "gradual" if (steps >= -FLAT).all() or (steps <= FLAT).all() else "mixed"


def verdict_table(conditions: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """One row a model and method: the depth chosen on validation prompts, and how it does on test
    prompts; beside it the best random direction after the same search."""
    rows = []
    for model in dict.fromkeys(conditions["model"].tolist()):
        mine = select(conditions, model=model)
        for method in methods:
            for own in (False, True):
                rows += _judged(mine, model, method, own)
    return pd.DataFrame(rows)


def _judged(mine: pd.DataFrame, model: str, method: str, own: bool) -> list[dict[str, Any]]:
    place = _chosen(mine, method, own)
    if place is None:
        return []
    (row,) = records(select(mine, phase="test", source=method, **place))
    (plain,) = records(select(mine, phase="test", source="none"))
    controls = [_control(mine, name) for name in _controls(mine)]
    random = [c for c in controls if c["source"].startswith("random")]
    depths = sorted(
        records(select(mine, phase="test", source=method)), key=lambda tested: tested["layer"]
    )
    curve = [r["coherent"] for r in depths if r["depth"] != FREE and r["dose"] > 0]
    worst = max(random, key=lambda c: c["coherent"], default=None)
    return [
        {
            "model": model,
            "family": row["family"],
            "method": method,
            "choice": "own rule" if own else "best depth on validation",
            "verdict": verdict(row["coherent"], row["garbled"]),
            "uncertain": uncertain(row["coherent_low"], row["coherent_high"]),
            **{n: row[n] for n in ("layer", "depth_percent", "position", "dose", "dose_raw")},
            **{n: row[n] for n in ("dose_unit", "dose_residual", "n")},
            **{n: row[n] for n in ("coherent", "coherent_low", "coherent_high", "garbled")},
            "unsteered": plain["coherent"],
            "random_highest": worst["coherent"] if worst else np.nan,
            "random_mean": np.mean([c["coherent"] for c in random]) if random else np.nan,
            "shuffled": next(
                (c["coherent"] for c in controls if c["source"] == "shuffled"), np.nan
            ),
            "layer_pattern": layer_pattern(curve),
        }
    ]


def _chosen(mine: pd.DataFrame, name: str, own: bool = False) -> dict[str, Any] | None:
    """Depth and dose preferred on validation; `own`: at the layer of the method's own rule."""
    rows = records(select(mine, phase="search", source=name))
    rows = [row for row in rows if (row["depth"] == FREE) == own]
    if not rows:
        return None
    best = min(rows, key=lambda row: preference(row["coherent"], row))
    return {"depth": best["depth"], "dose": best["dose"]}


def _controls(mine: pd.DataFrame) -> list[str]:
    names = dict.fromkeys(select(mine, phase="search")["source"].tolist())
    return [name for name in names if name == "shuffled" or name.startswith("random")]


def _control(mine: pd.DataFrame, name: str) -> Row:
    """A control gets the same search, and is measured on the same prompts."""
    place = _chosen(mine, name) or {}
    (row,) = records(select(mine, phase="test", source=name, **place))
    return row

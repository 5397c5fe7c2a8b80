"""Universal, partly, not, or undecided: by a rule that was written before the data were seen."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from figures.rows import records, select

MODELS_NEEDED = 5
NEAR = 10.0
"""Depths within this many percentage points of the median count as the same place."""


@dataclass(frozen=True)
class Verdict:
    """The answer, and the shares of models that it rests on."""

    verdict: str
    why: str
    models: int
    gap_share: float
    """With a gap at the own critical layer, in the direction of the majority, that excludes 0."""
    depth_share: float
    """With a critical depth within ±10 points of the median depth."""
    behind_share: float
    """With an effect of the donor's *kind* behind the patch: patched minus another plain text
    excludes 0, in the direction of the gap."""

    def table(self) -> pd.DataFrame:
        return pd.DataFrame([asdict(self)])


def verdict(comparison: pd.DataFrame) -> Verdict:
    """The rule of docs/cross_architecture.md.

    *undecided* below five measured models. *universal*: all three shares are 1. *not*: fewer than
    half of the models have the gap, or fewer than half lie near the median depth. *partly*: the
    rest.
    """
    rows = records(select(comparison, status="ok"))
    k = len(rows)
    if k == 0:
        return Verdict("undecided", "no model was measured", 0, np.nan, np.nan, np.nan)
    signs = np.sign([row["g"] for row in rows])
    majority = 1.0 if (signs > 0).sum() >= (signs < 0).sum() else -1.0
    clear = [_clear(row, "g", majority) for row in rows]
    depths = np.array([row["depth_percent"] for row in rows])
    near = np.abs(depths - np.median(depths)) <= NEAR
    behind = [_clear(row, "excess_d_z", sign) for row, sign in zip(rows, signs, strict=True)]
    shares = [float(np.mean(flags)) for flags in (clear, near, behind)]
    return Verdict(*_answer(k, *shares), k, *shares)


def _answer(k: int, gap: float, depth: float, behind: float) -> tuple[str, str]:
    shown = (
        f"{gap:.0%} of {k} models have the gap in the majority's direction, {depth:.0%} have "
        f"their critical layer near the median depth, and in {behind:.0%} the donor's kind matters "
        "behind the patch"
    )
    if k < MODELS_NEEDED:
        return "undecided", f"fewer than {MODELS_NEEDED} models; {shown}"
    if gap == depth == behind == 1:
        return "universal", shown
    if gap < 0.5 or depth < 0.5:
        return "not", shown
    return "partly", shown


def _clear(row: Mapping[str, Any], name: str, sign: float) -> bool:
    """Whether an effect has this sign with its whole interval; a missing interval has none."""
    low, high = (float(row[f"{name}_{end}"]) for end in ("low", "high"))
    return low > 0 if sign > 0 else high < 0

"""Universal, partly, not, or undecided: by the rule of docs/cross_architecture.md."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import pandas as pd

from figures.rows import records, select

MODELS_NEEDED = 5
PAIRS_NEEDED = 20
"""With fewer pairs a run is a pilot, and answers nothing."""
NEAR = 10.0
"""Depths within this many percentage points of the median count as the same place."""
State = Literal["shown", "excluded", "open"]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """The answer, and in how many models each leg of it is shown or excluded; else it is open."""

    verdict: str
    why: str
    models: int
    direction: str = ""
    """Of R_V in self-observing texts, in the majority of models: `lower` (as claimed), `higher`."""
    median_depth_percent: float = np.nan
    gap_shown: int = 0
    """log R_V differs in the majority's direction, and so does the late layer alone."""
    gap_excluded: int = 0
    """The interval of g lies on the other side of 0."""
    depth_shown: int = 0
    """95 % of the resampled depths lie within ±10 points of the median depth."""
    depth_excluded: int = 0
    """They all lie outside."""
    behind_shown: int = 0
    """`patched − other_plain` behind the patch excludes 0 in the majority's direction."""
    behind_excluded: int = 0
    """It excludes 0 in the other direction."""
    trained_shown: int = 0
    """The gap is larger than the random twin's, which got its own search."""

    def table(self) -> pd.DataFrame:
        return pd.DataFrame([asdict(self)])


def verdict(comparison: pd.DataFrame) -> Verdict:
    """*undecided* below five models, or 20 pairs in one of them; else

    *universal*  every leg is shown in every model;
    *not*        the gap or its place is excluded in half of the models or more;
    *partly*     gap and place are both shown in half of the models or more, and a leg is excluded
                 in some;
    *undecided*  the rest: what is not shown is not thereby excluded.
    """
    rows = records(select(comparison, status="ok"))
    k = len(rows)
    if k == 0:
        return Verdict("undecided", "no model was measured", 0)
    signs = np.sign([row["g"] for row in rows])
    majority = 1.0 if (signs > 0).sum() > (signs < 0).sum() else -1.0
    median = float(np.median([row["depth_percent"] for row in rows]))
    legs: dict[str, Callable[[Row], State]] = {
        "gap": lambda row: _gap(row, majority),
        "depth": lambda row: _depth(row, median),
        "behind": lambda row: _side(row, "excess_d_z", majority),
        "trained": lambda row: _side(row, "beyond_untrained", 1.0),
    }
    states = {name: [leg(row) for row in rows] for name, leg in legs.items()}
    counts = {
        f"{name}_{state}": found.count(state)
        for name, found in states.items()
        for state in ("shown", "excluded")
        if f"{name}_{state}" in {field.name for field in fields(Verdict)}
    }
    direction = "higher" if majority > 0 else "lower"
    few = _too_few(k, min(int(row["valid_pairs"]) for row in rows))
    why = few + _why(k, direction, median, counts)
    answer = "undecided" if few else _answer(k, counts)
    return Verdict(answer, why, k, direction, median, **counts)


def _too_few(models: int, pairs: int) -> str:
    if models < MODELS_NEEDED:
        return f"fewer than {MODELS_NEEDED} models; "
    return f"a pilot of fewer than {PAIRS_NEEDED} pairs; " if pairs < PAIRS_NEEDED else ""


def _gap(row: Row, majority: float) -> State:
    """A gap that the early layer makes alone is none of the late one."""
    state = _side(row, "g", majority)
    late = _side(row, "late_g", majority)
    return "open" if state == "shown" and late != "shown" else state


def _depth(row: Row, median: float) -> State:
    low, high = float(row["depth_low"]) - median, float(row["depth_high"]) - median
    if low >= -NEAR and high <= NEAR:
        return "shown"
    return "excluded" if high < -NEAR or low > NEAR else "open"


def _side(row: Row, name: str, majority: float) -> State:
    """On which side of 0 an interval lies; one that is missing says nothing."""
    low, high = (majority * float(row.get(f"{name}_{end}", np.nan)) for end in ("low", "high"))
    low, high = min(low, high), max(low, high)
    if low > 0:
        return "shown"
    return "excluded" if high < 0 else "open"


def _answer(k: int, n: Mapping[str, int]) -> str:
    if all(count == k for name, count in n.items() if name.endswith("shown")):
        return "universal"
    if max(n["gap_excluded"], n["depth_excluded"]) >= k / 2:
        return "not"
    half = min(n["gap_shown"], n["depth_shown"]) >= k / 2
    return "partly" if half and _counterexamples(n) else "undecided"


def _counterexamples(n: Mapping[str, int]) -> int:
    """One model in which a leg is excluded refutes "in every model"."""
    return sum(count for name, count in n.items() if name.endswith("excluded"))


def _why(k: int, direction: str, median: float, n: Mapping[str, int]) -> str:
    return (
        f"of {k} models, R_V is {direction} in self-observing texts in {n['gap_shown']} (the "
        f"opposite in {n['gap_excluded']}); the gap is larger than with random weights in "
        f"{n['trained_shown']}; the critical depth is sure to lie within {NEAR:.0f} points of the "
        f"median ({median:.0f} %) in {n['depth_shown']}, and outside in {n['depth_excluded']}; the "
        "donor's kind matters behind a patch at the own critical layer in "
        f"{n['behind_shown']}; for the others the data leave it open"
        + (". So it does not hold in every model" if _counterexamples(n) else "")
    )

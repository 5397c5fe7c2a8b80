"""How well does a judge agree with reference scores of the same answers?

Spearman: does it put answers into the same order. MAE: by how many points is it off. Bias: in which
direction. A judge can pass one and fail another: one that says 40 to 60 where the truth is 0 to 100
may order perfectly. Agreement is with the reference, which is no truth either.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from tl_geometry.bootstrap import Interval, bca, missing_interval
from tl_geometry.judges.number_scores import Rating
from tl_geometry.resampling import Statistic, left_out, level_codes, mean_of, simple_weights


@dataclass(frozen=True)
class Calibration:
    """One judge against the reference; every interval is missing, with a reason, if undefined."""

    spearman: Interval
    """Rank correlation, in [-1, 1]."""
    mae: Interval
    """Mean absolute difference, in points of 0 to 100."""
    bias: Interval
    """Mean of judge − reference, in points."""
    n: int
    """Answers that both have rated."""
    n_missing: int
    """Answers that the judge could not rate; they are in none of the numbers."""
    n_no_reference: int


def calibration(
    ratings: Sequence[Rating],
    reference: Sequence[Rating],
    *,
    questions: Sequence[Hashable] | None = None,
    rng: np.random.Generator,
    level: float = 0.95,
    n_resamples: int = 10_000,
) -> Calibration:
    """Agreement of `ratings` with `reference`, answer by answer, with BCa intervals.

    Several answers to one question are no independent units: give `questions`, one label an
    answer, and whole questions are resampled. ValueError for lists of unequal length.
    """
    labels = list(range(len(ratings)) if questions is None else questions)
    if not len(ratings) == len(reference) == len(labels):
        given = f"{len(ratings)} ratings, {len(reference)} references, {len(labels)} questions"
        raise ValueError(f"one of each for every answer is needed, got {given}")
    there = [r for r in zip(ratings, reference, labels, strict=True) if r[1].value is not None]
    both = [(a.value, b.value, label) for a, b, label in there if a.value is not None]
    judged, true = (np.array([pair[k] for pair in both], dtype=float) for k in (0, 1))
    codes, n_units = level_codes([label for *_, label in both])
    drawn = simple_weights(max(n_units, 1), n_resamples, rng)[:, codes]

    def interval(statistic: Statistic) -> Interval:
        if not n_units:
            reason = "no answer has both ratings"
            return missing_interval(reason, n=0, method="BCa", level=level)
        try:
            found = bca(statistic, drawn, n_units, jackknife=[left_out(list(codes))])
        except ValueError as error:
            return missing_interval(str(error), n=n_units, method="BCa", level=level)
        return found.interval(level)

    return Calibration(
        spearman=interval(rank_correlation(judged, true)),
        mae=interval(mean_of(np.abs(judged - true))),
        bias=interval(mean_of(judged - true)),
        n=len(both),
        n_missing=len(there) - len(both),
        n_no_reference=len(ratings) - len(there),
    )


def rank_correlation(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> Statistic:
    """Spearman's rho as a statistic of weights: every resample has its own ranks, ties in the
    middle of theirs; NaN where a resample holds one value only."""

    def rho(weights: Float[np.ndarray, "resample n"]) -> Float[np.ndarray, " resample"]:
        return _correlation(_ranks(a, weights), _ranks(b, weights), weights)

    return rho


def _ranks(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, "resample n"]
) -> Float[np.ndarray, "resample n"]:
    """Weight below a value, and half of that which is tied with it."""
    below = (values[:, None] < values).astype(float)
    tied = (values[:, None] == values).astype(float)
    return weights @ (below + tied / 2)


def _correlation(
    a: Float[np.ndarray, "resample n"],
    b: Float[np.ndarray, "resample n"],
    weights: Float[np.ndarray, "resample n"],
) -> Float[np.ndarray, " resample"]:
    total = weights.sum(1, keepdims=True)
    a, b = (x - (weights * x).sum(1, keepdims=True) / total for x in (a, b))
    scale = np.sqrt((weights * a**2).sum(1) * (weights * b**2).sum(1))
    flat = scale <= 1e-9 * total[:, 0] ** 3
    return np.where(flat, np.nan, (weights * a * b).sum(1) / np.where(flat, 1, scale))


def table(judges: Mapping[str, Calibration]) -> pd.DataFrame:
    """One row a judge and measure: estimate, low, high, n, n_missing, status, reason."""
    rows = []
    for name, found in judges.items():
        counts = {"n": found.n, "n_missing": found.n_missing}
        for measure in ("spearman", "mae", "bias"):
            value: Interval = getattr(found, measure)
            numbers = {"estimate": value.estimate, "low": value.low, "high": value.high}
            rows.append({"judge": name, "measure": measure, **numbers, **counts})
            rows[-1] |= {"status": value.status, "reason": value.reason}
    return pd.DataFrame(rows)


def report(judges: Mapping[str, Calibration]) -> str:
    """The table as text, a line a judge, to print."""
    return report_of(table(judges))


def report_of(found: pd.DataFrame) -> str:
    """`report` of a `table` that was kept."""
    wide = max([18, *map(len, found["judge"])]) + 2
    lines = [f"{'judge':<{wide}}{'Spearman':<24}{'MAE':<24}{'bias':<24}{'n':>5}{'missing':>9}"]
    for name, rows in found.groupby("judge", sort=False):
        by_measure = rows.set_index("measure").to_dict("index")
        order = by_measure["spearman"]
        cells = "".join(f"{_cell(by_measure[m]):<24}" for m in ("spearman", "mae", "bias"))
        lines.append(f"{name!s:<{wide}}{cells}{order['n']:>5}{order['n_missing']:>9}")
        lines += [f"  {order['reason']}"] if order["reason"] else []
    return "\n".join(lines)


def _cell(row: Mapping[Any, Any]) -> str:
    if np.isnan(row["estimate"]):
        return "missing"
    if row["status"] == "missing":
        return f"{row['estimate']:.2f}"
    return f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"

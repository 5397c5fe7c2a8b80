"""What could tell two classes apart: a linear probe on held-out items, or just their lengths."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tl_geometry.resampling import level_codes
from tl_geometry.separation import undefined

STRENGTH = 0.1
"""Inverse of the ridge penalty on standardised coordinates: with more coordinates than items the
classes are always separable, and weaker penalties only stretch the scores."""


@dataclass(frozen=True)
class ProbeScores:
    """What a probe that has not seen an item says of it."""

    scores: Float[np.ndarray, " n"]
    """Log-odds of "safe"; NaN for all if there is a reason."""
    folds: Int[np.ndarray, " n"]
    """In which fold each item was held out."""
    reason: str = ""


def probe_scores(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    seed: int,
    *,
    groups: Sequence[Hashable] | None = None,
    units: Sequence[Hashable] | None = None,
    n_folds: int = 5,
) -> ProbeScores:
    """Out-of-fold log-odds of a logistic probe; each fold standardises and fits on the others.

    Folds balance class × group, or class alone where a cell has fewer items than folds. Items
    of one unit (twins, one content) are held out together. Missing where the classes are not
    separable at all (`undefined`) or there are too few items or units for the folds.
    """
    n = len(labels)
    reason = undefined(x, labels) or _too_few_for(n_folds, labels, units)
    scores, fold_of = np.full(n, np.nan), np.full(n, -1)
    if reason:
        return ProbeScores(scores, fold_of, reason)
    for fold, (train, test) in enumerate(_folds(labels, seed, groups, units, n_folds)):
        if labels[train].all() or not labels[train].any():
            return ProbeScores(np.full(n, np.nan), fold_of, "a fold leaves one class to learn from")
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=5_000))
        probe.fit(x[train].astype(float), labels[train])
        scores[test] = probe.decision_function(x[test].astype(float))
        fold_of[test] = fold
    return ProbeScores(scores, fold_of)


def length_matched(
    lengths: Float[np.ndarray, " n"] | Int[np.ndarray, " n"],
    labels: Bool[np.ndarray, " n"],
    caliper: float,
) -> Int[np.ndarray, "pair 2"]:
    """Pairs (safe, unsafe) of indices no further than `caliper` apart in length.

    As many pairs as there can be, and among those the smallest total gap; no item twice, and none
    at all is a legal answer. Use it inside a group. ValueError for lengths that are not finite.
    """
    if not np.isfinite(lengths).all() or not 0 <= caliper < np.inf:
        raise ValueError(f"lengths and caliper={caliper} must be finite, and the caliper not < 0")
    safe, unsafe = np.flatnonzero(labels), np.flatnonzero(~labels)
    gap = np.abs(lengths[safe][:, None].astype(float) - lengths[unsafe])
    # One pair too far apart costs more than all pairs within the caliper together.
    forbidden = (caliper + 1) * (min(gap.shape) + 1)
    rows, columns = linear_sum_assignment(np.where(gap <= caliper, gap, forbidden))
    kept = gap[rows, columns] <= caliper
    return np.stack([safe[rows[kept]], unsafe[columns[kept]]], axis=1)


def _folds(
    labels: Bool[np.ndarray, " n"],
    seed: int,
    groups: Sequence[Hashable] | None,
    units: Sequence[Hashable] | None,
    n_folds: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    cells = labels.astype(int)
    if groups is not None:
        finer, _ = level_codes(list(zip(labels.tolist(), groups, strict=True)))
        cells = finer if np.bincount(finer).min() >= n_folds else cells
    empty = np.zeros((len(labels), 1))
    if units is None:
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        return folds.split(empty, cells)
    codes, _ = level_codes(units)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return folds.split(empty, cells, codes)


def _too_few_for(
    n_folds: int, labels: Bool[np.ndarray, " n"], units: Sequence[Hashable] | None
) -> str:
    fewest = min(int(labels.sum()), int((~labels).sum()))
    if fewest < n_folds:
        return f"{n_folds} folds need {n_folds} items of each class, got {fewest}"
    n_units = len(labels) if units is None else len(set(units))
    return "" if n_units >= n_folds else f"{n_folds} folds need as many units, got {n_units}"

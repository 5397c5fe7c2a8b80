"""Directions that tell a trait from its opposite: difference of means, and a linear probe.

Everything here is about one layer. Chen et al. 2025 (Persona Vectors, arXiv 2507.21509) take the
difference of means; the probe is that of github.com/ewernn/trait-interp (core/methods.py): logistic
regression on rows scaled to unit length. How well either tells held-out scenarios apart is
measured in folds that keep a scenario's both sides, and all its wordings, together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from tl_geometry.bootstrap import Interval, bca, missing_interval
from tl_geometry.resampling import check_finite, level_codes, mean_of, simple_weights
from tl_geometry.statistics import wilson

Method = Literal["mean_diff", "probe"]
METHODS: tuple[Method, ...] = get_args(Method)
FOLDS = 5


def direction(
    x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"], method: Method
) -> Float[np.ndarray, " d"]:
    """From the opposite towards the trait.

    `mean_diff`: μ₊ − μ₋ as measured; `probe`: the weights of the regression, whose length says how
    steep it is and nothing about the activations.

    ValueError for values that are not finite, one class, or a direction that is zero.
    """
    check_finite(x, "activations")
    if labels.all() or not labels.any():
        raise ValueError("a direction between two classes needs both")
    found = _mean_difference(x, labels) if method == "mean_diff" else _probe(x, labels).coef_[0]
    if not found.any():
        raise ValueError("both classes have the same mean: there is no direction between them")
    return found


def _mean_difference(
    x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " d"]:
    return x[labels].mean(0, dtype=float) - x[~labels].mean(0, dtype=float)


def _probe(x: Float[np.ndarray, "n d"], labels: Bool[np.ndarray, " n"]) -> LogisticRegression:
    return LogisticRegression(C=1.0, max_iter=1_000).fit(_unit_rows(x), labels)


def _unit_rows(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, lengths, out=np.zeros_like(x, float), where=lengths > 0)


@dataclass(frozen=True)
class HeldOut:
    """How often scenarios that a direction was not made of are told apart."""

    hits: Bool[np.ndarray, " n"]
    folds: Int[np.ndarray, " n"]
    reason: str = ""
    """Why there is nothing, where there is nothing."""


def held_out(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    groups: Sequence[str],
    method: Method,
    *,
    seed: int = 0,
) -> HeldOut:
    """Each response judged by a direction that saw nothing of its group, in five seeded folds.

    `mean_diff` cuts half-way between the two training means, the probe where it says even odds.
    """
    hits, folds = np.zeros(len(labels), bool), np.full(len(labels), -1)
    codes, n_groups = level_codes(groups)
    if n_groups < FOLDS:
        why = f"{FOLDS} folds need as many groups of scenarios, got {n_groups}"
        return HeldOut(hits, folds, why)
    cut = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (train, test) in enumerate(cut.split(x, groups=codes)):
        if labels[train].all() or not labels[train].any():
            return HeldOut(hits, folds, "a fold leaves one class to learn from")
        hits[test] = _says(x[train], labels[train], x[test], method) == labels[test]
        folds[test] = fold
    return HeldOut(hits, folds)


def _says(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    new: Float[np.ndarray, "m d"],
    method: Method,
) -> Bool[np.ndarray, " m"]:
    if method == "probe":
        return np.asarray(_probe(x, labels).predict(_unit_rows(new)), bool)
    towards = _mean_difference(x, labels)
    middle = (x[labels].mean(0, dtype=float) + x[~labels].mean(0, dtype=float)) / 2
    return (new - middle) @ towards > 0


def accuracy(
    found: HeldOut,
    labels: Bool[np.ndarray, " n"],
    groups: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval:
    """Mean of the two classes' hit rates, from the fixed held-out hits, with an interval over
    groups: BCa, or Wilson's where every group is wholly right, or every one wrong."""
    codes, n_groups = level_codes(groups)
    if found.reason:
        return missing_interval(found.reason, n=n_groups, method="bca")
    shares = np.array([_balanced(found.hits, labels, codes == g) for g in range(n_groups)])
    if np.isnan(shares).any():
        why = "a group of scenarios has only one of the two sides"
        return missing_interval(why, n=n_groups, method="bca")
    if shares.min() == shares.max() and shares[0] in (0.0, 1.0):
        return wilson(int(shares.sum()), n_groups)
    weights = simple_weights(n_groups, resamples, np.random.default_rng(seed))
    return bca(mean_of(shares), weights).interval()


def _balanced(
    hits: Bool[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], mine: Bool[np.ndarray, " n"]
) -> float:
    sides = [hits[mine & (labels == side)] for side in (True, False)]
    return float(np.mean([side.mean() for side in sides])) if all(map(len, sides)) else float("nan")


def shuffled(
    labels: Bool[np.ndarray, " n"], groups: Sequence[str], seed: int
) -> Bool[np.ndarray, " n"]:
    """Sides exchanged at random inside each group, so that every group keeps its numbers: what a
    search finds in labels that mean nothing."""
    rng = np.random.default_rng(seed)
    codes, n_groups = level_codes(groups)
    mixed = labels.copy()
    for group in range(n_groups):
        mine = np.flatnonzero(codes == group)
        mixed[mine] = rng.permutation(labels[mine])
    return mixed


def half_swapped(
    labels: Bool[np.ndarray, " n"], groups: Sequence[str], seed: int
) -> Bool[np.ndarray, " n"]:
    """Sides exchanged for half of each group's pairs: the labels of a control *vector*.

    Sides mixed at random keep some more of the true labels than they exchange, or fewer, and what
    is left of the true difference fills the control once it is scaled to the same length. Here as
    many are kept as exchanged (groups with an odd number of pairs take turns), so it cancels.
    """
    rng = np.random.default_rng(seed)
    codes, n_groups = level_codes(groups)
    mixed, odd = labels.copy(), 0
    for group in rng.permutation(n_groups):
        sides = [np.flatnonzero((codes == group) & (labels == side)) for side in (True, False)]
        pairs = min(map(len, sides))
        n = pairs // 2 + (pairs % 2) * (odd % 2)
        odd += pairs % 2
        for side in sides:
            mine = rng.permutation(side)[:n]
            mixed[mine] = ~labels[mine]
    return mixed


def as_long_apart(
    control: Float[np.ndarray, "layer d"], vector: Float[np.ndarray, "layer d"]
) -> Float[np.ndarray, "layer d"]:
    """The part of each control at a right angle to the vector, as long as the vector."""
    length = np.linalg.norm(vector, axis=1, keepdims=True)
    unit = vector / length
    apart = control - (control * unit).sum(1, keepdims=True) * unit
    return apart * (length / np.linalg.norm(apart, axis=1, keepdims=True))


def random_like(
    vector: Float[np.ndarray, " d"], rng: np.random.Generator
) -> Float[np.ndarray, " d"]:
    """A random direction just as long."""
    drawn = rng.normal(size=vector.shape)
    return drawn * (np.linalg.norm(vector) / np.linalg.norm(drawn))

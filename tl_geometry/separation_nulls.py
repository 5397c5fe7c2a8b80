"""Could a separation be chance, or a difference of spread? Permutations of the labels.

All take labels drawn by `shuffled_labels`, the same for every index and model. p is one-sided,
(1 + #{permuted ≥ observed}) / (1 + N): the better the separation, the smaller.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from tl_geometry.separation import (
    adjusted_eta_squared,
    auc,
    centred_classes,
    distances,
    in_chunks,
    silhouettes,
    undefined,
    unranked,
)
from tl_geometry.strata import members_of


@dataclass(frozen=True)
class PermutationTest:
    """An observed value beside its values under permuted labels; NaN with a reason if missing."""

    observed: float
    p: float
    z: float
    """Observed minus mean of the permuted values, over their standard deviation."""
    n_permutations: int
    reason: str = ""


def eta_null(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    drawn: Bool[np.ndarray, "draw n"],
    *,
    groups: Sequence[Hashable] | None = None,
) -> PermutationTest:
    """Adjusted η² against permuted labels (PERMANOVA); given `groups`, its mean over them.

    A permutation leaves the total scatter alone, so only the sum of the safe rows is computed.
    Labels must have been permuted inside the same groups. A small p may also come from a
    difference of spread: see `dispersion`. Anderson 2001, Austral Ecology 26.
    """
    permuted, observed = [], []
    for name, rows in members_of(groups, len(labels)).items():
        if reason := undefined(x[rows], labels[rows]):
            return _absent(reason if groups is None else f"group {name!r}: {reason}")
        permuted.append(_permuted_eta(x[rows], drawn[:, rows]))
        observed.append(adjusted_eta_squared(x[rows], labels[rows]).value)
    return _compared(float(np.mean(observed)), np.mean(permuted, axis=0), labels, drawn)


def silhouette_null(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    drawn: Bool[np.ndarray, "draw n"],
) -> PermutationTest:
    """Mean silhouette width against permuted labels on the fixed distances; some 1 000 will do."""
    if reason := undefined(x, labels):
        return _absent(reason)
    masks = np.vstack([labels, drawn])
    observed, *permuted = silhouettes(distances(x), masks, ~masks)
    return _compared(float(observed), np.array(permuted), labels, drawn)


def auc_null(
    scores: Float[np.ndarray, " n"],
    labels: Bool[np.ndarray, " n"],
    drawn: Bool[np.ndarray, "draw n"],
) -> PermutationTest:
    """AUC of fixed out-of-fold scores against permuted labels.

    Approximate: the probes of other folds have seen an item's label, which couples the folds.
    """
    if reason := unranked(scores, labels):
        return _absent(reason)
    n, n_safe = len(labels), int(labels.sum())
    ranks = stats.rankdata(scores)

    def areas(masks: Float[np.ndarray, "part n"]) -> Float[np.ndarray, " part"]:
        return (masks @ ranks - n_safe * (n_safe + 1) / 2) / (n_safe * (n - n_safe))

    return _compared(auc(scores, labels).value, in_chunks(areas, drawn, n), labels, drawn)


def dispersion(
    x: Float[np.ndarray, "n d"],
    labels: Bool[np.ndarray, " n"],
    drawn: Bool[np.ndarray, "draw n"],
) -> PermutationTest:
    """Spread of the safe over that of the unsafe class, two-sided p of a ratio of 1 (PERMDISP).

    Ratio of mean distances to the own class mean, each times √(n / (n − 1)) for the distance that
    the mean was fitted to; distances are permuted as they are. `z` is that of the log ratio.
    Anderson 2006, Biometrics 62; Stier et al. 2013. Missing if a class has one or equal items.
    """
    if reason := undefined(x, labels):
        return _absent(reason)
    if min(labels.sum(), (~labels).sum()) < 2:
        return _absent("a class of one item has no spread")
    safe, unsafe, _ = centred_classes(x, labels)
    length = np.zeros(len(labels))
    for mask, rows in ((labels, safe), (~labels, unsafe)):
        length[mask] = np.linalg.norm(rows, axis=1) * np.sqrt(len(rows) / (len(rows) - 1))
        if length[mask].max() <= 1e-12:  # the largest coordinate is 1
            return _absent("all items of a class are equal")

    def log_ratios(masks: Float[np.ndarray, "part n"]) -> Float[np.ndarray, " part"]:
        one, other = masks @ length, (1 - masks) @ length
        with np.errstate(divide="ignore"):  # a permuted class may hold items at the mean only
            return np.log(one / masks.sum(axis=1)) - np.log(other / (1 - masks).sum(axis=1))

    observed = float(log_ratios(labels[None].astype(float))[0])
    null = in_chunks(log_ratios, drawn, len(labels))
    test = _compared(abs(observed), np.abs(null), labels, drawn)
    spread = 0.0 if test.reason else float(null.std())
    z = (observed - float(null.mean())) / spread if spread > 0 else np.nan
    return PermutationTest(
        float(np.exp(observed)), test.p, float(z), test.n_permutations, test.reason
    )


def _permuted_eta(
    x: Float[np.ndarray, "n d"], drawn: Bool[np.ndarray, "draw n"]
) -> Float[np.ndarray, " draw"]:
    n, d = x.shape
    wide = x.astype(float)
    wide = wide / np.abs(wide).max()
    wide = wide - wide.mean(axis=0)
    total = float(np.square(wide).sum())
    gram = wide @ wide.T if d > n else None

    def eta(masks: Float[np.ndarray, "part n"]) -> Float[np.ndarray, " part"]:
        share = n / (masks.sum(axis=1) * (n - masks.sum(axis=1)))
        # The rows sum to 0, so the other class's sum is the negative one.
        if gram is None:
            squared = np.square(masks @ wide).sum(axis=1)
        else:
            squared = ((masks @ gram) * masks).sum(axis=1)
        return 1 - (1 - share * squared / total) * (n - 1) / (n - 2)

    return in_chunks(eta, drawn, max(n, d))


def _compared(
    observed: float,
    permuted: Float[np.ndarray, " draw"],
    labels: Bool[np.ndarray, " n"],
    drawn: Bool[np.ndarray, "draw n"],
) -> PermutationTest:
    n = len(permuted)
    if not n or (drawn == labels).all():
        why = "no permutation changes a label: each group holds one class" if n else "none drawn"
        return PermutationTest(observed, np.nan, np.nan, n, why)
    tie = 1e-9 * max(abs(observed), float(np.abs(permuted).max()))
    p = (1 + np.count_nonzero(permuted >= observed - tie)) / (1 + n)
    spread = float(permuted.std())
    z = (observed - float(permuted.mean())) / spread if spread > tie else np.nan
    return PermutationTest(observed, p, z, n)


def _absent(reason: str) -> PermutationTest:
    return PermutationTest(np.nan, np.nan, np.nan, 0, reason)

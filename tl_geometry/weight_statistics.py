"""Is a direction found in weights more than chance: against random directions, and other layers.

"Chance" has to be named. Random directions are isotropic, which residual streams are not: a few
dimensions that are large everywhere raise all cosines. Shuffled layers keep such dimensions.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.special import beta

from tl_geometry.bootstrap import Interval, bca
from tl_geometry.model_delta import row_cosines
from tl_geometry.resampling import check_finite, ratio_of, simple_weights


@dataclass(frozen=True)
class ChanceCosine:
    """A cosine beside what two random directions have."""

    cosine: float
    sd: float
    """Of a random direction's cosine: 1/√d exactly."""
    p: float
    """Two-sided, exact: how often a random direction has a cosine as large in size."""


def chance_cosine(a: Float[np.ndarray, " d"], b: Float[np.ndarray, " d"]) -> ChanceCosine:
    """The cosine of two directions against a uniformly random one in place of either.

    Its square is Beta(1/2, (d − 1)/2) distributed. In many layers this is many tests
    (`statistics.benjamini_hochberg`). ValueError for a direction of zero, or d < 2.
    """
    _check_rows(a[None], b[None])
    cosine, d = float(row_cosines(a[None], b[None])[0]), len(a)
    p = float(stats.beta.sf(min(cosine**2, 1.0), 0.5, (d - 1) / 2))
    return ChanceCosine(cosine, d**-0.5, p)


@dataclass(frozen=True)
class LayerAlignment:
    """Do the directions of a layer go with the vectors of the same layer?"""

    cosines: Float[np.ndarray, " layer"]
    """Of each layer's direction with its own vector; signed."""
    matched: float
    """Mean |cosine| of directions and vectors of one layer."""
    shuffled: float
    """Mean |cosine| over all pairs of different layers."""
    random: float
    """Mean |cosine| of random directions, exactly; about 0.8/√d."""
    p: float
    """One-sided: how often layers paired at random align as well."""
    p_shifted: float
    """The same over all cyclic shifts of the layers; 1 over their number at best."""


def layer_alignment(
    directions: Float[np.ndarray, "layer d"],
    vectors: Float[np.ndarray, "layer d"],
    *,
    rng: np.random.Generator,
    n_permutations: int = 10_000,
) -> LayerAlignment:
    """Alignment layer by layer, against direction of layer b with the vector of layer a ≠ b.

    A small p says that the alignment is one of *layers*; a large `matched` with a large `shuffled`
    is one that all layers share (a few large dimensions, often). Neighbouring layers are alike,
    which free permutations break and cyclic shifts keep: where the two p disagree, believe
    `p_shifted`.
    ValueError for fewer than 3 layers, or a direction of zero (leave that layer out, and count it).
    """
    _check_rows(directions, vectors)
    n = len(directions)
    if n < 3:
        raise ValueError(f"{n} layers cannot be shuffled to a purpose: at least 3 are needed")
    unit_a, unit_b = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (directions, vectors)
    )
    cosines = unit_a @ unit_b.T
    size = np.abs(cosines)
    matched = float(size.diagonal().mean())
    order = rng.permuted(np.tile(np.arange(n), (n_permutations, 1)), axis=1)
    hits = int((size[np.arange(n), order].mean(axis=1) >= matched - 1e-12).sum())
    shifts = (np.arange(n) + np.arange(n)[:, None]) % n
    return LayerAlignment(
        cosines=cosines.diagonal().copy(),
        matched=matched,
        shuffled=float((size.sum() - size.trace()) / (n * (n - 1))),
        random=float(beta(directions.shape[1] / 2, 0.5) / np.pi),
        p=(1 + hits) / (1 + n_permutations),
        p_shifted=float((size[np.arange(n), shifts].mean(axis=1) >= matched - 1e-12).mean()),
    )


@dataclass(frozen=True)
class MiddleShare:
    """How much of what changed lies in the middle third of the layers."""

    share: Interval
    """Of the summed squared norms."""
    inner: Interval
    """The same at level 1 − 2 (1 − level), 90 % for 95: equivalence lies within a margin if this
    interval does (two one-sided tests)."""
    uniform: float
    """What the same layers hold if all layers changed alike: their share of the layers."""
    layers: tuple[int, int]
    """First layer of the middle third, and the one behind its last."""
    windows: float
    """Share of all windows of neighbouring layers of that width that hold as much: small if it is
    the *middle* that stands out, and not merely some stretch."""


def middle_share(
    norms: Float[np.ndarray, "component layer"],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    n_resamples: int = 10_000,
) -> MiddleShare:
    """Share of ‖Δθ‖² in the layers l with 1/3 ≤ (l + ½)/L < 2/3, with a BCa interval.

    The unit that is resampled is the *component* (q, k, v, o, gate, up, down: a handful, each with
    all its layers). The interval therefore says how much the share hangs on which matrices one
    counts, large matrices weighing more. Components were trained together, in one run: it says
    nothing of another run, another pair of models or another family, and the layers are no sample
    at all. Such claims need several pairs, one share each. With fewer than 3 components, or no
    spread, the interval is missing with its reason. ValueError where nothing changed, or for fewer
    than 3 layers.
    """
    check_finite(norms, "norms")
    energy = np.square(norms)
    n_components, n_layers = norms.shape
    if n_layers < 3:
        raise ValueError(f"{n_layers} layers have no middle third")
    if not energy.sum() > 0:
        raise ValueError("no component changed: there is nothing to share out")
    depth = (np.arange(n_layers) + 0.5) / n_layers
    middle = np.flatnonzero((depth >= 1 / 3) & (depth < 2 / 3))
    first, end = int(middle[0]), int(middle[-1]) + 1
    held = energy[:, first:end].sum(axis=1)
    weights = simple_weights(n_components, n_resamples, rng)
    by_layer = energy.sum(axis=0)
    sums = np.convolve(by_layer, np.ones(end - first), mode="valid")
    share = bca(ratio_of(held, energy.sum(axis=1)), weights)
    return MiddleShare(
        share=share.interval(level),
        inner=share.interval(2 * level - 1),
        uniform=(end - first) / n_layers,
        layers=(first, end),
        windows=float((sums >= sums[first] * (1 - 1e-12)).mean()),
    )


def _check_rows(a: Float[np.ndarray, "row d"], b: Float[np.ndarray, "row d"]) -> None:
    if a.shape != b.shape or a.shape[1] < 2:
        raise ValueError(f"directions of shapes {a.shape} and {b.shape} have no cosines")
    for rows in (a, b):
        check_finite(rows, "a direction")
        if (zero := np.flatnonzero(~rows.any(axis=1))).size:
            raise ValueError(f"row {zero[0]} is zero, so it has no direction")

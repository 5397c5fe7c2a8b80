"""Linear maps between the spaces of two models, fitted on states that both have of the same texts.

`ridge` predicts: it shrinks what the source does not determine, so it shortens what it carries.
`procrustes` rotates: lengths and angles are kept, up to one scale for all directions. A vector is
a difference of states and goes through the linear part alone (`carry`), a state also moves from
mean to mean (`carry_states`). Whether a map says anything is `held_out_r2`, on texts that it was
not fitted on, beside maps that saw the texts paired at random.

Both fits take apart the source's states once and are then called with the target's, so that some
hundred shuffled pairings cost little more than one.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import svd

from tl_geometry.bootstrap import BootstrapResult, bca
from tl_geometry.resampling import check_finite
from tl_geometry.sites import check_layers, layer_at
from tl_geometry.strata import members_of

PENALTIES = tuple(float(10.0**k) for k in np.arange(-6, 4.5, 0.5))
"""Tried by `ridge`, in units of the mean squared singular value of the source's states."""


@dataclass(frozen=True, eq=False)
class LinearMap:
    """x → (x − source mean) A + target mean."""

    linear: Float[np.ndarray, "source target"]
    source_mean: Float[np.ndarray, " source"]
    target_mean: Float[np.ndarray, " target"]

    @property
    def norm(self) -> float:
        """Frobenius norm of the linear part."""
        return float(np.linalg.norm(self.linear))

    def carry(self, vector: Float[np.ndarray, " source"]) -> Float[np.ndarray, " target"]:
        """ValueError for a vector that the map sends to nothing, or that is not finite."""
        check_finite(vector, "the vector")
        carried = vector.astype(float) @ self.linear
        if np.linalg.norm(carried) <= 1e-9 * self.norm * np.linalg.norm(vector):
            raise ValueError("this map sends the vector to zero: it is zero, or in the kernel")
        return carried

    def carry_states(self, states: Float[np.ndarray, "n source"]) -> Float[np.ndarray, "n target"]:
        return (states - self.source_mean) @ self.linear + self.target_mean


@dataclass(frozen=True, eq=False)
class Ridge(LinearMap):
    """Least squares of the target's states with a penalty on ‖A‖²."""

    penalty: float
    """In units of the mean squared singular value of the centred source states."""


@dataclass(frozen=True, eq=False)
class Procrustes(LinearMap):
    """A scaled partial isometry: A = scale · W, where all singular values of W are 0 or 1.

    W maximises the covariance of source and target. Where the source is no wider than the target
    this is the least-squares rotation; where it is wider, some directions must go to zero.
    """

    scale: float
    rank: int
    """Directions that are carried, at most one fewer than there are texts. What the texts do not
    show is carried to zero: any way to turn it would fit them as well."""


Fit = Callable[[Float[np.ndarray, "n target"]], LinearMap]
"""The target's states of the same texts → the map."""


def ridge(
    source: Float[np.ndarray, "n source"], penalties: Sequence[float] = PENALTIES
) -> Callable[[Float[np.ndarray, "n target"]], Ridge]:
    """Fits with the penalty that predicts the texts best, each by the others (leave-one-out).

    Exact, and in closed form (Allen's PRESS): the residual of a text left out is its residual over
    1 − its leverage. ValueError as in `checked`, or for penalties that are not above 0.
    """
    if not penalties or min(penalties) <= 0:
        raise ValueError(f"penalties {tuple(penalties)}: give some above 0, e.g. 0.01 1 100")
    mean, left, values, right = _decomposed(source)
    unit = np.square(values).mean()

    def shrunk(penalty: float) -> Float[np.ndarray, " rank"]:
        return np.square(values) / (np.square(values) + penalty * unit)

    def fit(target: Float[np.ndarray, "n target"]) -> Ridge:
        target_mean, centred = _centred(target, len(source))
        along = left.T @ centred

        def left_out_error(penalty: float) -> float:
            leverage = 1 / len(source) + np.square(left) @ shrunk(penalty)
            residual = centred - left @ (shrunk(penalty)[:, None] * along)
            # A text of leverage 1 is met whatever it is, and says nothing of the penalty.
            free = np.maximum(1 - leverage, 1e-12)
            return float(np.square(residual / free[:, None]).sum())

        best = min(penalties, key=left_out_error)
        linear = right.T @ ((shrunk(best) / values)[:, None] * along)
        return Ridge(linear, mean, target_mean, best)

    return fit


def procrustes(
    source: Float[np.ndarray, "n source"],
) -> Callable[[Float[np.ndarray, "n target"]], Procrustes]:
    """Fits the rotation and the scale. Schönemann 1966, Psychometrika 31. ValueError as in
    `checked`."""
    mean, left, values, right = _decomposed(source)

    def fit(target: Float[np.ndarray, "n target"]) -> Procrustes:
        target_mean, centred = _centred(target, len(source))
        covariance = values[:, None] * (left.T @ centred)
        out, strength, into = _thin_svd(covariance)
        rotation = right.T @ out @ into
        turned = values[:, None] * (out @ into)
        scale = float(strength.sum() / np.square(turned).sum())
        return Procrustes(scale * rotation, mean, target_mean, scale, len(strength))

    return fit


FITS: dict[str, Callable[[Float[np.ndarray, "n source"]], Fit]] = {
    "ridge": ridge,
    "procrustes": procrustes,
}


def shuffled_fits(
    fit: Fit,
    target: Float[np.ndarray, "n target"],
    rng: np.random.Generator,
    n: int,
    groups: Sequence[Hashable] | None = None,
) -> list[LinearMap]:
    """The same fit on texts paired at random: what a map is worth that knows of no pairing.

    With `groups`, at random inside each: such a map still knows what kind of text meets what kind.
    """
    members = members_of(groups, len(target))
    orders = []
    for _ in range(n):
        order = np.arange(len(target))
        for rows in members.values():
            order[rows] = rng.permutation(rows)
        orders.append(order)
    return [fit(target[order]) for order in orders]


def random_map(like: LinearMap, rng: np.random.Generator) -> LinearMap:
    """Gaussian, between the same means, of equal Frobenius norm."""
    drawn = rng.standard_normal(like.linear.shape)
    return LinearMap(drawn * like.norm / np.linalg.norm(drawn), like.source_mean, like.target_mean)


def held_out_r2(
    fitted: LinearMap,
    source: Float[np.ndarray, "n source"],
    target: Float[np.ndarray, "m target"],
    weights: Float[np.ndarray, "resample n"],
) -> BootstrapResult:
    """1 − squared errors of the map / squared errors of these texts' own mean.

    1 where every state is met; 0 for a map that is worth no more than to know the mean of just
    these texts; below 0 for a worse one. Summed over texts and dimensions, so wide dimensions
    count most. One unit a text; `weights` shared by maps and layers make their results comparable
    draw by draw. ValueError for states that are not finite, or are the same for every text.
    """
    errors, centred = residuals(fitted, source, target)
    squares = np.square(centred).sum(axis=1)

    def explained(drawn: Float[np.ndarray, "resample n"]) -> Float[np.ndarray, " resample"]:
        moved = np.square(drawn @ centred).sum(axis=1) / drawn.sum(axis=1)
        spread = drawn @ squares - moved
        # Rounding, where a resample repeats one text.
        spread = np.where(spread > 1e-12 * squares.sum(), spread, np.nan)
        return 1 - (drawn @ errors) / spread

    return bca(explained, weights)


def r2(
    fitted: LinearMap, source: Float[np.ndarray, "n source"], target: Float[np.ndarray, "m target"]
) -> float:
    """The value of `held_out_r2` alone."""
    errors, centred = residuals(fitted, source, target)
    return float(1 - errors.sum() / np.square(centred).sum())


def residuals(
    fitted: LinearMap, source: Float[np.ndarray, "n source"], target: Float[np.ndarray, "m target"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n target"]]:
    """Squared error of each text, and its state less the mean of these texts. ValueError as in
    `held_out_r2`."""
    check_pair(source, target)
    if len(target) < 2 or np.ptp(target, axis=0).max() == 0:
        raise ValueError("R² is undefined: the held-out states are the same for every text")
    states = target.astype(float)
    errors = np.square(states - fitted.carry_states(source)).sum(axis=1)
    return errors, states - states.mean(axis=0)


def cosine(a: Float[np.ndarray, " d"], b: Float[np.ndarray, " d"]) -> float:
    """ValueError for a vector without length."""
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    if not 0 < lengths < np.inf:
        raise ValueError("a cosine with a vector that is zero or not finite is undefined")
    return float(a.astype(float) @ b / lengths)


def matched_layers(layers: Sequence[int], n_layers: int, n_layers_source: int) -> list[int]:
    """The source's layer at the relative depth of each of the target's: floor(ℓ / n · m)."""
    check_layers(layers, n_layers)
    return [layer_at(layer / n_layers, n_layers_source) for layer in layers]


def check_pair(
    source: Float[np.ndarray, "n source"], target: Float[np.ndarray, "m target"]
) -> None:
    """ValueError unless these are finite states of as many texts."""
    if len(source) != len(target):
        raise ValueError(
            f"{len(source)} and {len(target)} states do not pair: one a text and model"
        )
    check_finite(source, "the source's states")
    check_finite(target, "the target's states")


def checked(states: Float[np.ndarray, "n d"], whose: str) -> Float[np.ndarray, "n d"]:
    """float64. ValueError for fewer than 3 texts, or states that are constant or not finite."""
    check_finite(states, f"{whose} states")
    if len(states) < 3:
        raise ValueError(f"a map between spaces needs at least 3 texts, got {len(states)}")
    if np.ptp(states, axis=0).max() == 0:
        raise ValueError(f"{whose} states are the same for every text: there is nothing to map")
    return states.astype(float)


def _decomposed(source: Float[np.ndarray, "n d"]) -> tuple[np.ndarray, ...]:
    states = checked(source, "the source's")
    mean = states.mean(axis=0)
    return mean, *_thin_svd(states - mean)


def _centred(target: Float[np.ndarray, "n d"], n: int) -> tuple[np.ndarray, np.ndarray]:
    if len(target) != n:
        raise ValueError(f"{n} and {len(target)} states do not pair: one a text and model")
    states = checked(target, "the target's")
    mean = states.mean(axis=0)
    return mean, states - mean


def _thin_svd(matrix: Float[np.ndarray, "a b"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Without the directions that are there only by rounding."""
    left, values, right = svd(matrix, full_matrices=False)
    kept = values > values[0] * max(matrix.shape) * np.finfo(float).eps
    return left[:, kept], values[kept], right[kept]

"""What tuning did to hidden states: instruct minus base, the same texts read by both.

Everything here is about one layer unless a name says `layers`, and in float64. The mean difference
is D-STEER's vector (Raina et al. 2025, arXiv 2512.11838); `svd_vector` is what its code takes in
its stead, a principal component of the differences *around* that mean.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tl_geometry.resampling import Statistic

SIGN_DRAWS = 200
"""Random sign patterns behind the chance level of coherence."""
_CHUNK = 1_000


def check_states(
    base: Float[Tensor, "text layer d"], instruct: Float[Tensor, "_text _layer _d"]
) -> None:
    """ValueError for what no vector can be made of."""
    if base.shape != instruct.shape:
        raise ValueError(f"states of shape {tuple(base.shape)} meet {tuple(instruct.shape)}")
    for name, states in (("base", base), ("instruct", instruct)):
        if not torch.isfinite(states).all():
            raise ValueError(f"the {name} model's hidden states hold NaN or infinity")
    if len(base) < 4:
        raise ValueError(f"{len(base)} texts are too few: two halves need at least 2 each")


def component(
    deltas: Float[np.ndarray, "text d"], index: int, *, centred: bool
) -> Float[np.ndarray, " d"]:
    """Unit row `index` of Vᵗ, turned towards the mean difference (a singular vector has no sign).

    ValueError where the differences have no such component.
    """
    rows = deltas - deltas.mean(0) if centred else deltas
    _, energy, directions = np.linalg.svd(rows, full_matrices=False)
    # Centring takes one rank: the last row of n centred ones is rounding.
    rank = int((energy > 1e-9 * energy[0]).sum()) if energy[0] > 0 else 0
    if index >= rank:
        raise ValueError(
            f"component {index} does not exist: {len(deltas)} differences have {rank} components"
        )
    direction = directions[index]
    return direction if direction @ deltas.mean(0) >= 0 else -direction


def svd_vector(deltas: Float[np.ndarray, "text d"], index: int) -> Float[np.ndarray, " d"]:
    """Component `index` of the centred differences at the length of their mean.

    Its length says nothing, therefore: it is the mean's by construction.
    """
    return component(deltas, index, centred=True) * np.linalg.norm(deltas.mean(0))


def energy_shares(deltas: Float[np.ndarray, "text d"], *, centred: bool) -> Float[np.ndarray, " k"]:
    """S² / ΣS², descending. Uncentred, a shift that all texts share is the first component;
    centred, it is gone. ValueError where nothing varies."""
    rows = deltas - deltas.mean(0) if centred else deltas
    energy = np.linalg.svd(rows, compute_uv=False) ** 2
    if not energy.sum() > 0:
        raise ValueError("the differences show no variance to explain")
    return energy / energy.sum()


def row_cosines(
    a: Float[np.ndarray, "row d"], b: Float[np.ndarray, "#row d"]
) -> Float[np.ndarray, " row"]:
    """Cosine row by row; NaN where a row is zero."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(lengths > 0, (a * b).sum(1) / lengths, np.nan)


def coherence(deltas: Float[np.ndarray, "text d"]) -> Float[np.ndarray, " text"]:
    """Cosine of each difference with the mean of all, itself among them: above 0 for pure noise,
    by about 1/√n."""
    return row_cosines(deltas, deltas.mean(0, keepdims=True))


def coherence_across(
    deltas: Float[np.ndarray, "text d"], first: Bool[np.ndarray, " text"]
) -> Float[np.ndarray, " text"]:
    """Cosine of each difference with the mean of the half that it is not in: 0 for noise."""
    other = np.where(first[:, None], deltas[~first].mean(0), deltas[first].mean(0))
    return row_cosines(deltas, other)


def coherence_by_chance(
    deltas: Float[np.ndarray, "text d"], rng: np.random.Generator, draws: int = SIGN_DRAWS
) -> float:
    """What `coherence` averages when every difference gets a random sign: no shift is shared then,
    and all lengths and correlations are as they are. ValueError for a difference of zero."""
    gram = deltas @ deltas.T
    if not gram.diagonal().all():
        raise ValueError("a text's difference is zero, so it has no direction")
    signs = rng.choice((-1.0, 1.0), size=(draws, len(deltas)))
    along = signs * (signs @ gram)  # n · ⟨sᵢδᵢ, mean⟩
    mean_length = np.sqrt((along.sum(1)).clip(min=0))  # n · ‖mean‖
    own_length = np.sqrt(gram.diagonal())
    return float(np.mean(along / (mean_length[:, None] * own_length)))


def halves_cosine(
    deltas: Float[np.ndarray, "text d"], first: Bool[np.ndarray, " text"]
) -> Statistic:
    """Cosine of the two halves' mean differences: 1 for a shift that all share, 0 for noise."""
    return cosine_of_means(deltas * first[:, None], deltas * ~first[:, None])


def cosine_of_means(a: Float[np.ndarray, "text d"], b: Float[np.ndarray, "text d"]) -> Statistic:
    """Cosine of two mean states, as a statistic of the texts' weights."""

    def cosine(weights: Float[np.ndarray, "resample text"]) -> Float[np.ndarray, " resample"]:
        parts = [row_cosines(w @ a, w @ b) for w in _chunks(weights)]
        return np.concatenate(parts)

    return cosine


def length_of_mean(deltas: Float[np.ndarray, "text d"]) -> Statistic:
    """‖mean‖: noise alone has a length too, so it is above what the shift is."""

    def length(weights: Float[np.ndarray, "resample text"]) -> Float[np.ndarray, " resample"]:
        parts = [np.linalg.norm(w @ deltas, axis=1) / w.sum(1) for w in _chunks(weights)]
        return np.concatenate(parts)

    return length


def _chunks(weights: Float[np.ndarray, "resample text"]) -> list[Float[np.ndarray, "some text"]]:
    # Resamples × width in one piece would not fit into memory for large models.
    return [weights[i : i + _CHUNK] for i in range(0, len(weights), _CHUNK)]

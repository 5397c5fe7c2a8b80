"""Directions of the residual stream in a weight difference.

Two kinds of matrices write to the residual stream: o (attention) and down (MLP, every expert's in a
mixture). A direction made of their changes Δ lives on the output side, [d], and can be compared
with directions measured in activations: layer l writes to state l + 1 of `tl_geometry.directions`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry.checkpoints import Checkpoint
from tl_geometry.components import SHIFTED_GAINS
from tl_geometry.weight_delta import Difference, changes, length

EXACT_UP_TO = 1024
"""Smaller side up to which a matrix is decomposed exactly."""
OVERSAMPLED, ITERATIONS, SEED = 16, 8, 0
NO_RANK = 1e-6
"""A singular value below this share of the largest is rounding."""
POST_NORMS = {"o": "post_attention_layernorm", "down": "post_feedforward_layernorm"}


def writers(difference: Difference) -> Iterator[tuple[int, dict[str, Float[Tensor, "d _in"]]]]:
    """For each layer the changes of the matrices that write to the residual stream, by component
    ("o", "down", "expert 3 down"). One layer is in memory at a time, if the caller lets go.

    Where a family normalises what a block writes before it is added (Gemma 2 and 3, OLMo 2), rows
    are multiplied by the base model's gain of that norm: the direction then is that of the stream,
    and its length is up to the norm's own scaling, which depends on the text.

    ValueError where a layer has no such matrix that is known.
    """
    base = difference.base
    wanted = {p.component for p in difference.parts if _writes(p.component)}
    layer, found = 0, {}
    for change in changes(difference, wanted) if wanted else ():
        at = change.part.layer or 0
        if at != layer:
            yield _complete(layer, found, base)
            layer, found = layer + 1, {}
        found[change.part.component] = _reaching(base, at, change.part.component, change.delta)
        del change
    yield _complete(layer, found, base)
    if layer + 1 < base.n_layers:
        _complete(layer + 1, {}, base)


def mean_column(written: Mapping[str, Float[Tensor, "d _in"]]) -> Float[Tensor, " d"]:
    """The experiment plan's direction of a layer: the mean over input columns of Δo and of Δdown,
    averaged (over experts first, in a mixture).

    It is Δ applied to an input of ones, over the number of columns. No activation is like that, and
    the basis in which a head or an MLP hands on what it has is arbitrary (turned or with signs
    flipped, the model is the same and this vector another). It is here because it was published;
    `top_directions` and `weight_applied` are what can be defended. ValueError if zero.
    """
    attention = [delta.mean(dim=1) for name, delta in written.items() if name == "o"]
    mlp = [delta.mean(dim=1) for name, delta in written.items() if name != "o"]
    direction = (torch.stack(attention).mean(0) + torch.stack(mlp).mean(0)) / 2
    return nonzero(direction, "the mean column of a difference")


@dataclass(frozen=True, eq=False)
class TopDirections:
    """The directions into which a change writes most."""

    vectors: Float[Tensor, "k d"]
    """Left singular vectors, unit length, strongest first; the largest entry is positive."""
    energy: Float[Tensor, " k"]
    """Squared singular values over the squared Frobenius norm; they sum to 1 over all of them."""
    noise: float
    """Share of the strongest direction where entries are independent noise (the edge of Marchenko
    and Pastur's law, (√m + √n)² / mn): a first direction with no more does not stand out."""


def top_directions(delta: Float[Tensor, "d n_in"], k: int = 5) -> TopDirections:
    """The first `k` left singular vectors of a change with their shares of its energy.

    As many as the change has rank, if that is less. Exact up to `EXACT_UP_TO` rows or columns, by
    seeded random projection (Halko et al. 2011) beyond; singular vectors have no sign, so that of
    the largest entry is made positive. Neighbours of nearly equal energy may be any rotation of one
    another. ValueError for a change of zero.
    """
    nonzero(delta, "a difference")
    if k < 1:
        raise ValueError(f"k={k} directions were asked for; it must be at least 1")
    vectors, values = _decomposed(delta, k)
    kept = values > NO_RANK * values[0]
    vectors, values = vectors.mT[kept][:k], values[kept][:k]
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    energy = (values.double() / length(delta)).square().float()
    m, n = delta.shape
    return TopDirections(
        (vectors * largest.sign()).float(), energy, (m**0.5 + n**0.5) ** 2 / (m * n)
    )


def has_post_norms(base: Checkpoint, layer: int) -> bool:
    """Whether the family normalises what a block writes: its length then hangs on each text."""
    # The norm of that name before an MLP is no sign: only the one behind the MLP is.
    return f"layers.{layer}.{POST_NORMS['down']}.weight" in base.stored


def nonzero(values: Tensor, name: str) -> Tensor:
    """The values. ValueError, with what they are called, where they have no direction."""
    if not torch.isfinite(values).all() or not values.any():
        raise ValueError(f"{name} is zero or not finite, so it has no direction")
    return values


def _writes(component: str) -> bool:
    return component == "o" or component.split()[-1] == "down"


def _complete(layer: int, found: dict[str, Tensor], base: Checkpoint) -> tuple[int, dict]:
    if "o" not in found or len(found) < 2:
        raise ValueError(
            f"layer {layer} of {base.name} ({base.model_type}) has no known matrix that writes "
            f"to the residual stream from {'MLP' if 'o' in found else 'attention'}"
        )
    return layer, found


def _reaching(base: Checkpoint, layer: int, component: str, delta: Tensor) -> Tensor:
    """The change behind the norm that some families put after the block."""
    if not has_post_norms(base, layer):
        return delta
    norm = POST_NORMS["o" if component == "o" else "down"]
    gain = base.tensor(f"layers.{layer}.{norm}.weight")
    return (gain + (base.model_type in SHIFTED_GAINS))[:, None] * delta


def _decomposed(delta: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if min(delta.shape) <= EXACT_UP_TO:
        vectors, values, _ = torch.linalg.svd(delta.double(), full_matrices=False)
        return vectors, values
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        vectors, values, _ = torch.svd_lowrank(delta, q=k + OVERSAMPLED, niter=ITERATIONS)
    return vectors, values

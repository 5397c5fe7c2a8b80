"""What a weight difference does to activations: Δ applied to what really enters the matrix.

A matrix is used on its inputs only, and of a change nothing else is seen. Here the inputs are those
of the base model: what is added there is the change of one matrix alone, all others being as they
were. In the tuned model the layers in front of it have changed too, and other things enter.

Families that normalise what a block writes (`weight_directions.has_post_norms`) are none of these:
what reaches their stream is not linear in the change.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry.weight_delta import Difference, changes
from tl_geometry.weight_directions import nonzero


def applied(
    delta: Float[Tensor, "d n_in"],
    mean_input: Float[Tensor, " n_in"],
    bias: Float[Tensor, " d"] | None = None,
) -> Float[Tensor, " d"]:
    """What the change adds to the mean output, on inputs that stay the base model's: Δ · x̄ (+ Δb).

    `mean_input` is the mean of what enters the matrix (`sites.write_inputs`). By linearity this is
    the mean of Δ · x over the texts. In the tuned model other things enter, because the layers in
    front of it changed as well. ValueError where nothing is added.
    """
    return nonzero(_added(delta, mean_input, bias), "the change applied to the mean input")


def applied_by_layer(
    written: Mapping[str, Float[Tensor, "d _in"]],
    mean_inputs: Mapping[str, Float[Tensor, " _in"]],
    biases: Mapping[str, Float[Tensor, " d"]],
) -> Float[Tensor, " d"]:
    """`applied`, summed over what writes in one layer: all of it on the base model's inputs.

    ValueError where an input is not known, or nothing is added.
    """
    if unknown := sorted(set(written) - set(mean_inputs)):
        raise ValueError(f"what enters {', '.join(unknown)} is not known")
    parts = [_added(delta, mean_inputs[k], biases.get(k)) for k, delta in written.items()]
    return nonzero(torch.stack(parts).sum(0), "the change of a layer applied to its mean inputs")


def bias_changes(difference: Difference) -> dict[tuple[int, str], Float[Tensor, " d"]]:
    """Layer and component ("o", "down") → the change of the bias beside it; empty in families
    without."""
    named = {"o bias", "down bias"} & {part.component for part in difference.parts}
    return {
        (change.part.layer or 0, change.part.component.removesuffix(" bias")): change.delta
        for change in (changes(difference, named) if named else ())
    }


def _added(delta: Tensor, mean_input: Tensor, bias: Tensor | None) -> Tensor:
    added = delta @ mean_input.to(delta)
    return added if bias is None else added + bias.to(added)

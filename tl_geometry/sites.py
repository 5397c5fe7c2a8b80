"""Where things happen in a model: depth, layers, hook names, and which of them a family has.

Names are TransformerLens's. A hook is told the *canonical* name of its point
(`blocks.0.hook_out` for `blocks.0.hook_resid_post`), so nothing here or above compares names:
the layer is bound when the hook is made.
"""

import math
from collections.abc import Sequence

from tl_geometry.models import Model

EARLY_DEPTH = 5 / 32
LATE_DEPTH = 27 / 32


def layer_at(fraction: float, n_layers: int) -> int:
    """The layer at a relative depth: floor(fraction · n_layers). 27/32 of 32 layers is 27."""
    if not 0 <= fraction < 1:
        raise ValueError(f"depth {fraction} is outside 0 (first layer) to below 1 (the end)")
    # Added so that a fraction such as 27/32 or 0.3 that is a layer exactly does not fall below it.
    return math.floor(fraction * n_layers + 1e-9)


def depth_percent(layer: int, n_layers: int) -> float:
    """100 · layer / n_layers."""
    return 100 * layer / n_layers


def check_layers(layers: Sequence[int], n_layers: int) -> None:
    """ValueError naming the layers that do not exist."""
    if not layers:
        raise ValueError("no layers were given; pass e.g. range(model.cfg.n_layers) for all")
    if unknown := [layer for layer in layers if not 0 <= layer < n_layers]:
        raise ValueError(
            f"layers {unknown} do not exist: this model has layers 0 to {n_layers - 1}. "
            f"Negative indices are not accepted; the last layer is {n_layers - 1}."
        )


def block(layer: int, name: str) -> str:
    return f"blocks.{layer}.{name}"


def value(layer: int) -> str:
    """Value vectors, `[batch pos n_kv d_head]`: before grouped heads are repeated."""
    return block(layer, "attn.hook_v")


def pattern(layer: int) -> str:
    """Attention probabilities, `[batch head query key]`."""
    return block(layer, "attn.hook_pattern")


def resid_pre(layer: int) -> str:
    return block(layer, "hook_resid_pre")


def resid_post(layer: int) -> str:
    """The residual stream behind the block; on the last layer, *before* the final norm."""
    return block(layer, "hook_resid_post")


def hidden_state(model: Model, layer: int) -> str:
    """The block's output as Hugging Face's `hidden_states[layer + 1]` has it: the last block's is
    behind the final norm, where there is one."""
    behind_norm = layer == model.cfg.n_layers - 1 and has(model, FINAL_NORM)
    return FINAL_NORM if behind_norm else resid_post(layer)


def attn_out(layer: int) -> str:
    """What attention adds to the stream (Gemma-2/3: behind its post-norm)."""
    return block(layer, "hook_attn_out")


def mlp_out(layer: int) -> str:
    """What the MLP adds to the stream (Gemma-2/3: behind its post-norm)."""
    return block(layer, "hook_mlp_out")


def write_inputs(model: Model, layer: int) -> dict[str, str]:
    """Component → hook of what enters the matrix that writes to the stream: `o` is given the heads,
    `down` the inside of the MLP. A mixture of experts has no `down` of its own.

    By these names and not `mlp.hook_post`, which in a mixture is the MLP's output.
    """
    names = {"o": block(layer, "attn.o.hook_in"), "down": block(layer, "mlp.out.hook_in")}
    return {component: name for component, name in names.items() if has(model, name)}


def has(model: Model, name: str) -> bool:
    return name in model.hook_dict  # type: ignore[attr-defined]  # TL has it, its protocol not


def is_parallel(model: Model, layer: int = 0) -> bool:
    """Whether attention and MLP read the same input (Falcon, NeoX, Phi-2): no residual between."""
    return not has(model, block(layer, "hook_resid_mid"))


def mlp_in(model: Model, layer: int) -> str:
    """The MLP's input behind its norm: `ln2`'s, or `ln1`'s where both halves share one norm."""
    norm = "ln2" if has(model, block(layer, "ln2.hook_normalized")) else "ln1"
    return block(layer, f"{norm}.hook_normalized")


BLOCK_NORMS = ("ln1", "ln1_post", "ln2", "ln2_post")


def scales(model: Model, layer: int) -> dict[str, str]:
    """Norm → hook of its denominator, for the norms that this block has.

    RMSNorm: sqrt(mean(x²) + eps); LayerNorm: sqrt(mean((x − mean)²) + eps); `[batch pos 1]`.
    """
    names = {norm: block(layer, f"{norm}.hook_scale") for norm in BLOCK_NORMS}
    return {norm: name for norm, name in names.items() if has(model, name)}


FINAL_NORM = "ln_final.hook_out"
FINAL_SCALE = "ln_final.hook_scale"

"""The numbers that a bridge and a `HookedTransformer` must agree on; the same code for both."""

from typing import Any

import torch
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import last_logits, observed, residual_before
from tl_geometry.geometry import attention_entropy, participation_ratio, r_v
from tl_geometry.interventions import frozen, replaced
from tl_geometry.resume import resumed
from tl_geometry.tokens import TokenBatch

MODELS = ("pocket-mistral", "pocket-llama", "pocket-qwen2", "pocket-gemma2")
WINDOW = 8
torch.set_num_threads(1)  # of models this small, threads wait for each other longer than they work


def seen(model: Any, batch: TokenBatch, *names: str) -> tuple[dict[str, Tensor], Tensor]:
    got: dict[str, Tensor] = {}
    readers = {n: (lambda x, n=n: got.__setitem__(n, x.clone())) for n in names}
    with observed(model, readers):
        logits = last_logits(model, batch)
    return got, logits


def numbers(model: Any, batch: TokenBatch) -> dict[str, Tensor]:
    """Geometry, capture, interventions and resuming, on one unequal, left-padded batch."""
    n = model.cfg.n_layers
    early, late = sites.layer_at(5 / 32, n), sites.layer_at(27 / 32, n)
    v, pattern = (sites.value(late), sites.pattern(late))
    scale, mlp = sites.block(late, "ln2.hook_scale"), sites.mlp_out(late)
    got, logits = seen(model, batch, sites.value(early), v, pattern, scale, mlp)
    tails = {layer: got[sites.value(layer)][:, -WINDOW:].flatten(2) for layer in (early, late)}
    kept = residual_before(model, batch, late)
    swapped = got[v][:, -WINDOW:].roll(1, 0)
    with replaced(model, v, swapped):
        _, patched = seen(model, batch)
        # From the longest row: what stands at padding is no number of either class.
        longest = batch.lengths.argmax().expand(len(batch))
        with frozen(model, [mlp], longest):
            _, held = seen(model, batch)
    with resumed(model, late, kept):
        _, again = seen(model, batch)
    return {
        "logits": logits,
        "participation_ratio": participation_ratio(tails[late]),
        "r_v": r_v(tails[late], tails[early]),
        "entropy": attention_entropy(got[pattern][:, :, -WINDOW:]),
        "scale": got[scale][:, -WINDOW:],
        "mlp_out": got[mlp][:, -WINDOW:],
        "resid_pre": kept[:, -WINDOW:],
        "patched": patched,
        "frozen": held,
        "resumed": again,
    }

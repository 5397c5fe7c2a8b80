"""A model under test, its plain twin, and the texts that it is tested with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import observed
from tl_geometry.models import Model
from tl_geometry.tokens import TokenBatch, encode, pad
from tl_geometry.twins import twin_of

TEXTS = (
    "The river is cold.",
    "In the morning the whole village walked to the market, and the baker sold warm bread.",
    "A child found an old map under the bridge.",
    "Rain fell on the quiet harbour, while the sailor slept below.",
)
"""Unequal lengths, none a multiple of another; longer than the shortest sliding window in use."""
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 6e-2, torch.float16: 2e-2}
"""Of the logits' largest size; 16-bit sums differ by more than that in their last digits."""


@dataclass(frozen=True)
class Subject:
    """A bridge and Hugging Face's own code over the same weights.

    ValueError if the model was made without a plain twin.
    """

    bridge: Model
    plain: Any

    @cached_property
    def batch(self) -> TokenBatch:
        """The test texts, padded on the left."""
        return pad(self.bridge, encode(self.bridge, TEXTS))

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """First, middle and last layer: what is true there is taken for all."""
        n = self.bridge.cfg.n_layers
        return tuple(sorted({0, n // 2, n - 1}))

    @property
    def tolerance(self) -> float:
        return TOLERANCE[next(self.plain.parameters()).dtype] if not self.quantized else 6e-2

    @property
    def epsilon(self) -> float:
        """What the norms add under the root."""
        names = ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon")
        config = self.plain.config.get_text_config()
        return next((getattr(config, n) for n in names if getattr(config, n, None)), 1e-5)

    @property
    def quantized(self) -> bool:
        return getattr(self.plain.config, "quantization_config", None) is not None

    @property
    def mixes_rows(self) -> bool:
        """Whether a row's numbers depend a little on its neighbours, as under LLM.int8."""
        config = getattr(self.plain.config, "quantization_config", None)
        return getattr(config, "load_in_8bit", False)

    def read_sites(self) -> dict[str, str]:
        """Short name → hook, of everything that the library reads, at the probed layers."""
        found: dict[str, str] = {}
        for layer in self.layers:
            named = {
                "value": sites.value(layer),
                "pattern": sites.pattern(layer),
                "resid_pre": sites.resid_pre(layer),
                "resid_post": sites.resid_post(layer),
                "attn_out": sites.attn_out(layer),
                "mlp_out": sites.mlp_out(layer),
                "mlp_in": sites.mlp_in(self.bridge, layer),
                **sites.scales(self.bridge, layer),
            }
            found |= {f"{name}@{layer}": hook for name, hook in named.items()}
        return found | {"ln_final": sites.FINAL_SCALE}


def subject(model: Model) -> Subject:
    plain = twin_of(model)
    if plain is None:
        raise ValueError("this model has no plain twin: load it with load_model or wrap")
    return Subject(model, plain)


@torch.inference_mode()
def activations(
    model: Model, batch: TokenBatch, names: Sequence[str]
) -> tuple[dict[str, Tensor], Float[Tensor, "batch pos vocab"]]:
    """The activations at the named hooks, and the logits of every position."""
    seen: dict[str, Tensor] = {}
    readers = {n: (lambda x, n=n: seen.__setitem__(n, x.clone())) for n in names}
    with observed(model, readers):
        logits = model(batch.ids, attention_mask=batch.mask, use_cache=False)
    return seen, logits


@torch.inference_mode()
def plain_logits(
    plain: Any,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
) -> Float[Tensor, "batch pos vocab"]:
    """Hugging Face's logits; positions are counted from each row's first real token."""
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return plain(ids, attention_mask=mask, position_ids=positions, use_cache=False).logits


def gap(got: Tensor, expected: Tensor, *, per: int | None = None) -> float:
    """Largest difference as a share of the largest expected size; infinite where a number is not.

    `per` counts the leading dimensions that have a size of their own (1: every position), so that
    one very large token does not hide what happens at the others.
    """
    if not (torch.isfinite(got).all() and torch.isfinite(expected).all()):
        return math.inf
    off, size = (got.float() - expected.float()).abs(), expected.float().abs()
    if per is not None:
        off, size = (x.flatten(per).amax(-1) for x in (off, size))
        return float((off / size.clamp(min=1e-6)).max())
    return float(off.max()) / (float(size.max()) or 1.0)

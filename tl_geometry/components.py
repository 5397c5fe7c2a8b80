"""Which component of which layer a stored tensor is, in the words of every family.

A block's matrices are q, k, v, o, gate, up and down (without a gate in some families), those of
experts "expert 3 up", their biases "q bias". Tensors that hold several of these are taken apart
as the model itself does it. Whatever is not known is "other": it is listed and never dropped.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

PREFIXES = (
    "model.language_model.",
    "language_model.model.",
    "language_model.",
    "model.decoder.",
    "transformer.",
    "gpt_neox.",
    "model.",
)
"""What stands before a family's names, or does not: files of one model differ in it."""
BLOCK = re.compile(r"(?:layers|h)\.(\d+)\.(.+)")
EXPERT = re.compile(r"(?:block_sparse_moe|mlp)\.experts\.(\d+)\.(\w+)")
STEMS = {
    **{f"self_attn.{name}_proj": name for name in "qkvo"},
    **{f"mlp.{name}_proj": name for name in ("gate", "up", "down")},
    **{f"mlp.shared_expert.{name}_proj": f"shared {name}" for name in ("gate", "up", "down")},
    "block_sparse_moe.gate": "router",
    "mlp.gate": "router",
    "self_attention.dense": "o",
    "attention.dense": "o",
    "self_attn.dense": "o",
    "self_attn.out_proj": "o",
    "attn.c_proj": "o",
    "mlp.dense_h_to_4h": "up",
    "mlp.dense_4h_to_h": "down",
    "mlp.c_fc": "up",
    "mlp.c_proj": "down",
    "mlp.fc1": "up",
    "mlp.fc2": "down",
    "fc1": "up",
    "fc2": "down",
}
EXPERT_STEMS = {
    **{f"{name}_proj": name for name in ("gate", "up", "down")},
    **{"w1": "gate", "w3": "up", "w2": "down"},
}
OUTSIDE = {
    **dict.fromkeys(("embed_tokens", "wte", "word_embeddings", "embed_in"), "embed"),
    **dict.fromkeys(("wpe", "embed_positions"), "position"),
    **dict.fromkeys(("lm_head", "embed_out"), "unembed"),
}
NORM = re.compile(r".*(norm|ln_\w)$")
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm")
"""Stems of the norm behind the last block."""
SHIFTED_GAINS = ("gemma", "gemma2", "gemma3", "gemma3_text")
"""Families whose norms multiply by 1 + weight."""
CONV1D = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
"""GPT-2 stores these as [in, out]."""

Layout = Mapping[str, tuple[int, tuple[tuple[str, int], ...]]]
"""Stem of a fused tensor → how many equal groups its rows form, and in a group the components
with their numbers of rows, in order."""


@dataclass(frozen=True)
class Part:
    """One component of one layer, and where it lies in the tensor that holds it."""

    name: str
    """Of the stored tensor, without the family's prefix."""
    layer: int | None
    """None outside of the blocks."""
    component: str
    transposed: bool = False
    groups: int = 1
    rows: tuple[int, int] | None = None
    """First row and end in every group; None for the whole tensor."""

    def of(self, tensor: Float[Tensor, "*stored"]) -> Float[Tensor, "*part"]:
        """The component in [out, in], cut out of its stored tensor; a view where that will do."""
        oriented = tensor.mT if self.transposed and tensor.ndim == 2 else tensor
        if self.rows is None:
            return oriented
        grouped = oriented.unflatten(0, (self.groups, -1))
        return grouped[:, slice(*self.rows)].flatten(0, 1)


def plain_name(name: str) -> str:
    """A tensor's name without what the family puts in front."""
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)


def parts_of(name: str, shape: tuple[int, ...], model_type: str, layout: Layout) -> Iterator[Part]:
    """The components that a tensor holds: one, or those of a fused tensor in their order.

    ValueError for a fused tensor whose rows are not those that the configuration asks for.
    """
    block = BLOCK.fullmatch(name)
    if block is None:
        yield Part(name, None, _outside(name))
        return
    layer, (stem, kind) = int(block[1]), _stem(block[2])
    transposed = model_type == "gpt2" and stem in CONV1D
    if stem not in layout:
        yield Part(name, layer, _named(stem, kind, model_type), transposed)
        return
    groups, members = layout[stem]
    n_rows = shape[-1] if transposed else shape[0]
    if n_rows != groups * sum(width for _, width in members):
        raise ValueError(f"{name} has {n_rows} rows, and the configuration speaks of {members}")
    start = 0
    for component, width in members:
        rows = (start, start := start + width)
        yield Part(name, layer, component + _suffix(kind), transposed, groups, rows)


def fused_layout(model_type: str, config: Any) -> Layout:
    """How a family's fused tensors are cut (`transformers`, the models' own `forward`).

    `config` is the text model's configuration with all its defaults; it is read for families with
    fused tensors only. Falcon groups queries with their key and value in the new architecture,
    stacks them where all heads share one key, and interleaves them head by head elsewhere, as
    GPT-NeoX and BLOOM do.
    """
    if model_type == "gpt2":
        width = config.hidden_size
        return {"attn.c_attn": (1, (("q", width), ("k", width), ("v", width)))}
    if model_type not in FUSED:
        return {}
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    one_each = (heads, (("q", head), ("k", head), ("v", head)))
    if model_type == "phi3":
        keys, wide = config.num_key_value_heads * head, config.intermediate_size
        return {
            "self_attn.qkv_proj": (1, (("q", heads * head), ("k", keys), ("v", keys))),
            "mlp.gate_up_proj": (1, (("gate", wide), ("up", wide))),
        }
    if model_type == "gpt_neox":
        return {"attention.query_key_value": one_each}
    if model_type == "falcon" and config.new_decoder_architecture:
        groups = config.num_kv_heads
        one_each = (groups, (("q", heads // groups * head), ("k", head), ("v", head)))
    elif model_type == "falcon" and config.multi_query:
        one_each = (1, (("q", heads * head), ("k", head), ("v", head)))
    return {"self_attention.query_key_value": one_each}


FUSED = ("gpt2", "phi3", "gpt_neox", "falcon", "bloom")


def _stem(rest: str) -> tuple[str, str]:
    """Module and kind of parameter, as in ("mlp.up_proj", "weight")."""
    stem, _, kind = rest.rpartition(".")
    return stem, kind


def _suffix(kind: str) -> str:
    return "" if kind == "weight" else f" {kind}"


def _named(stem: str, kind: str, model_type: str) -> str:
    if kind not in ("weight", "bias"):
        return "other"
    if NORM.fullmatch(stem):
        return "norm" + _suffix(kind)
    expert = EXPERT.fullmatch(stem)
    if expert and expert[2] in EXPERT_STEMS:
        return f"expert {expert[1]} {EXPERT_STEMS[expert[2]]}{_suffix(kind)}"
    # Other families give the same names to matrices that lie the other way round.
    known = STEMS.get(stem) if model_type == "gpt2" or stem not in CONV1D else None
    return known + _suffix(kind) if known else "other"


def _outside(name: str) -> str:
    stem, kind = _stem(name)
    if kind not in ("weight", "bias"):
        return "other"
    if NORM.fullmatch(stem):
        return "norm" + _suffix(kind)
    return OUTSIDE[stem] + _suffix(kind) if stem in OUTSIDE else "other"

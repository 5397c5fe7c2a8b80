"""Embedded models as plain Hugging Face reads them: a route that shares no code with the rest."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

WINDOW = 16
Ids = tuple[int, ...]
Patch = tuple[int, int, Tensor]
"""(layer, tokens behind the window, values)."""


@dataclass(frozen=True)
class Checkpoint:
    """An embedded model, and the same weights read by plain Hugging Face."""

    name: str

    @cached_property
    def source(self) -> str:
        from tl_geometry.catalogue import resolve

        return resolve(self.name).source

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.source)

    @cached_property
    def plain(self) -> Any:
        from transformers import AutoModelForCausalLM

        model: Any = AutoModelForCausalLM.from_pretrained(
            self.source, dtype=torch.float32, attn_implementation="eager"
        )
        return model.eval()

    def ids(self, prompts: Sequence[Any]) -> list[Ids]:
        return [tuple(self.tokenizer(p.text)["input_ids"]) for p in prompts]


@contextmanager
def values_shown(plain: Any, patch: Patch | None = None) -> Iterator[dict[int, Tensor]]:
    """Values of one text by layer, from hooks on `v_proj` or on the last part of `qkv_proj`."""
    kept: dict[int, Tensor] = {}

    def hook(layer: int) -> Callable[..., Tensor]:
        def act(module: Any, args: Any, out: Tensor) -> Tensor:
            n_values = plain.config.num_key_value_heads * plain.model.layers[0].self_attn.head_dim
            if patch is not None and patch[0] == layer:
                end = out.shape[1] - patch[1]
                out = out.clone()
                out[0, end - WINDOW : end, -n_values:] = patch[2]
            kept[layer] = out[0, :, -n_values:]
            return out

        return act

    attention = [block.self_attn for block in plain.model.layers]
    makers = [getattr(part, "v_proj", None) or part.qkv_proj for part in attention]
    handles = [maker.register_forward_hook(hook(n)) for n, maker in enumerate(makers)]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def values_of(plain: Any, ids: Ids) -> dict[int, Tensor]:
    with values_shown(plain) as kept:
        plain(torch.tensor([ids]))
    return kept

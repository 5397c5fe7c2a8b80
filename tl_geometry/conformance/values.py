"""Where Hugging Face's own modules make the value vectors: an independent way to write them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from tl_geometry.twins import decoder_blocks

View = Callable[[Tensor], Tensor]
"""The values inside a projection's output, `[batch pos n_kv d_head]`, as a view."""


def value_projection(plain: Any, layer: int) -> tuple[nn.Module, View] | None:
    """The linear map of one block that makes the values, and where its output holds them.

    None for a kind of attention that is not known here.
    """
    config = plain.config.get_text_config()
    n_heads = config.num_attention_heads
    n_kv = getattr(config, "num_key_value_heads", None) or n_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    found = {name.split(".")[-1]: m for name, m in decoder_blocks(plain)[layer].named_modules()}
    if (module := found.get("v_proj")) is not None:
        return module, lambda out: out.unflatten(-1, (-1, d_head))
    if (module := found.get("qkv_proj") or found.get("c_attn")) is not None:
        return module, lambda out: out.unflatten(-1, (-1, d_head))[..., -n_kv:, :]
    if (module := found.get("query_key_value")) is None:
        return None
    if getattr(config, "multi_query", False):  # Falcon 7B: all queries, one key, one value
        return module, lambda out: out.unflatten(-1, (-1, d_head))[..., -1:, :]
    return module, lambda out: out.unflatten(-1, (n_heads, 3, d_head))[..., 2, :]


@contextmanager
def values_written(plain: Any, layer: int, values: Tensor) -> Iterator[None]:
    """Put values `[batch window n_kv d_head]` at the last positions, by a plain forward hook."""
    place = value_projection(plain, layer)
    if place is None:
        raise ValueError(f"the value projection of {type(plain).__name__} is not known")
    module, view = place

    def hook(_: nn.Module, args: Any, output: Tensor) -> Tensor:
        written = output.clone()
        view(written)[:, -values.shape[1] :] = values
        return written

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()

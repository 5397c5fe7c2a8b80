"""Run only the blocks from some layer on, from a residual stream that was kept.

TransformerLens's `start_at_layer` gives the right numbers but runs the earlier blocks all the
same. Here they return their input at once, and the kept residual enters at the chosen layer;
the model itself still makes masks, positions and rotary tables.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tl_geometry import sites
from tl_geometry.interventions import edited
from tl_geometry.models import Model

_returns_tuple: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


@contextmanager
def resumed(model: Model, layer: int, resid: Float[Tensor, "batch pos d"]) -> Iterator[None]:
    """Forward passes inside the block start at `layer` from `resid`, in the same batch shape.

    Bit-equal to the full pass of the same batch shape. Hooks of the skipped blocks do not fire.
    ValueError for a layer that does not exist; a pass of another shape fails in the model.
    """
    n_layers = model.cfg.n_layers
    if not 0 <= layer < n_layers:
        raise ValueError(f"cannot resume at layer {layer}: choose 0 to {n_layers - 1}")
    blocks: list[nn.Module] = list(model.blocks)  # type: ignore[attr-defined] # a ModuleList
    stand_in = _pass_on_tuple if layer and _block_returns_tuple(model, blocks[0]) else _pass_on
    with ExitStack() as stack:
        for skipped in blocks[:layer]:
            stack.enter_context(_forward_replaced(skipped, stand_in))
        stack.enter_context(edited(model, {sites.resid_pre(layer): lambda _: resid}))
        yield


def _pass_on(*args: Any, **kwargs: Any) -> Tensor:
    return args[0] if args else kwargs["hidden_states"]


def _pass_on_tuple(*args: Any, **kwargs: Any) -> tuple[Tensor, None]:
    # Falcon's loop reads the attention weights from the second place.
    return _pass_on(*args, **kwargs), None


@contextmanager
def _forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    # Written into __dict__: attribute assignment on a bridge component is forwarded to the
    # wrapped Hugging Face module and would replace nothing here.
    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        del module.__dict__["forward"]


@torch.inference_mode()
def _block_returns_tuple(model: Model, block: nn.Module) -> bool:
    """Ask the block, not the family: what does it return for one token?"""
    if block not in _returns_tuple:
        seen: list[bool] = []
        handle = block.register_forward_hook(lambda *call: seen.append(isinstance(call[2], tuple)))
        try:
            token = torch.zeros(1, 1, dtype=torch.long, device=model.cfg.device)
            model(token, attention_mask=torch.ones_like(token))
        finally:
            handle.remove()
        _returns_tuple[block] = seen[0]
    return _returns_tuple[block]

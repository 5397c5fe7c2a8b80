"""Run a model and reduce inside the hook: what leaves a forward pass is small."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tl_geometry.hooks import hooked
from tl_geometry.models import Model
from tl_geometry.tokens import TokenBatch

Reader = Callable[[Tensor], None]


@contextmanager
def observed(model: Model, readers: Mapping[str, Reader]) -> Iterator[None]:
    """Show each reader the activation at its hook; enter it *inside* interventions."""

    def watch(reader: Reader) -> Callable[[Tensor], None]:
        # A reader's return value must never reach the model: it would replace the activation.
        def look(activation: Tensor) -> None:
            reader(activation)

        return look

    with hooked(model, {name: watch(reader) for name, reader in readers.items()}):
        yield


@torch.inference_mode()
def last_logits(model: Model, batch: TokenBatch) -> Float[Tensor, "batch vocab"]:
    """One forward pass; next-token logits of the last position only, to save memory."""
    return tail_logits(model, batch, 1)[:, -1]


@torch.inference_mode()
def tail_logits(model: Model, batch: TokenBatch, n: int) -> Float[Tensor, "batch n vocab"]:
    """One forward pass; next-token logits of the last `n` positions."""
    options = {**lean(model), "logits_to_keep": n} if lean(model) else {}
    return model(batch.ids, attention_mask=batch.mask, **options)[:, -n:]


def continuation_log_prob(
    logits: Float[Tensor, "batch n vocab"], ids: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch m"]:
    """Log-probability (nats) of each of the last n − 1 tokens, given all before it.

    `logits` are those of the last n positions, as `tail_logits` gives them.
    """
    said = ids[:, -(logits.shape[1] - 1) :, None]
    return logits[:, :-1].double().log_softmax(-1).gather(-1, said)[..., 0]


@torch.inference_mode()
def residual_before(model: Model, batch: TokenBatch, layer: int) -> Float[Tensor, "batch pos d"]:
    """The residual stream entering `layer`, from a pass that runs no block from there on.

    ValueError for a layer that the model does not have: `stop_at_layer = n_layers` would return
    logits without a word.
    """
    if not 0 <= layer < model.cfg.n_layers:
        last = model.cfg.n_layers - 1
        raise ValueError(f"layer {layer} does not exist: this model has layers 0 to {last}")
    return run_until(model, batch, layer)


def run_until(model: Model, batch: TokenBatch, stop: int) -> Float[Tensor, "batch pos out"]:
    """A pass in which block `stop` and those behind it do not run: the residual stream entering it.

    `stop = n_layers` is a whole pass, and gives logits (of the last position, where the model can
    leave out the others).
    """
    end = None if stop == model.cfg.n_layers else stop
    return model(batch.ids, attention_mask=batch.mask, stop_at_layer=end, **lean(model))


# Without these a pass keeps a key-value cache and the logits of every position.
LEAN: Mapping[str, Any] = {"use_cache": False, "logits_to_keep": 1}


def lean(model: Model) -> Mapping[str, Any]:
    """What to pass so that a forward pass keeps little; `HookedTransformer` has no such options."""
    return LEAN if _takes_options(type(model)) else {}


@cache
def _takes_options(kind: type) -> bool:
    parameters = inspect.signature(kind.forward).parameters.values()  # type: ignore[attr-defined] # a Module
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)

"""A second set of module objects over the same tensors, for generating at full speed.

A TransformerLens bridge wraps a Hugging Face model in place and computes attention patterns
itself, which costs a small model half of its speed. Before it is wrapped, the model is copied with
every parameter and buffer mapped to itself: the copy runs Hugging Face's own code, and what is
written *into* a weight is written in both. What the twin cannot know of (hooks, replaced
parameters) is noticed, and the bridge generates instead.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Edit = Callable[[Tensor], Tensor]
"""Makes the activation that takes the place of the one it is given."""

_twins: WeakKeyDictionary[nn.Module, "PreTrainedModel"] = WeakKeyDictionary()
_own_hooks: WeakKeyDictionary[nn.Module, dict[str, int]] = WeakKeyDictionary()
_own_parameters: WeakKeyDictionary[nn.Module, dict[int, int]] = WeakKeyDictionary()


def shared_copy(model: "PreTrainedModel") -> "PreTrainedModel":
    """The same model in new modules: no tensor is copied.

    ValueError where weights are not all in memory (offloaded by accelerate).
    """
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError("offloaded weights cannot be shared")
    tensors = [*model.parameters(), *model.buffers()]
    # What a quantised layer has unpacked belongs to its weight, so both must see it.
    states = [m.state for m in model.modules() if type(m).__name__ == "Linear8bitLt"]
    memo = {id(shared): shared for shared in (*tensors, *states)}
    twin = copy.deepcopy(model, memo)
    if twin._supports_sdpa:  # attention without patterns, where the family has it
        twin.set_attn_implementation("sdpa")
    twin.generation_config = model.generation_config
    return twin.eval()


def remember(bridge: nn.Module, twin: "PreTrainedModel") -> None:
    """Keep the twin for as long as the bridge lives."""
    _twins[bridge] = twin
    _own_hooks[bridge] = _hook_counts(bridge)
    _own_parameters[bridge] = _unshared(bridge, twin)


def twin_of(bridge: Any) -> "PreTrainedModel | None":
    """The plain twin of a bridge; None if the bridge was made without one."""
    return _twins.get(bridge) if isinstance(bridge, nn.Module) else None


def faithful_twin(bridge: Any) -> "PreTrainedModel | None":
    """The twin, unless somebody has changed the bridge in a way that the twin does not show."""
    twin = twin_of(bridge)
    if twin is None or held_hooks(bridge):
        return None
    theirs = {id(parameter) for parameter in bridge.original_model.parameters()}
    shared = all(id(parameter) in theirs for parameter in twin.parameters())
    return twin if shared and _unshared(bridge, twin) == _own_parameters[bridge] else None


def _unshared(bridge: Any, twin: "PreTrainedModel") -> dict[int, int]:
    """Parameters that the bridge has alone, and how often each has been written to.

    TransformerLens splits matrices that make queries, keys and values at once: the parts of
    Falcon's and Pythia's are copies, which the twin does not see. Adapters are others. What is
    written through `.data` leaves no trace.
    """
    shared = {id(parameter) for parameter in twin.parameters()}
    theirs = bridge.original_model.parameters()
    return {id(one): one._version for one in theirs if id(one) not in shared}


def held_hooks(bridge: Any) -> list[str]:
    """Names of the points at which somebody holds a hook now.

    Some families' bridges (OPT) have hooks of their own from the beginning: these do not count.
    """
    before = _own_hooks.get(bridge, {})
    return [name for name, n in _hook_counts(bridge).items() if n > before.get(name, 0)]


def _hook_counts(bridge: Any) -> dict[str, int]:
    """Hooks of TransformerLens and plain ones of torch, by the name of their place."""
    points = getattr(bridge, "hook_dict", {})
    counts = {name: len(point.fwd_hooks) for name, point in points.items() if point.fwd_hooks}
    for name, module in bridge.original_model.named_modules() if points else ():
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if n := sum(not _is_transformer_lens_own(hook) for hook in hooks):
            counts[f"torch:{name}"] = n
    return counts


def _is_transformer_lens_own(hook: Any) -> bool:
    """Hook points are torch hooks as well, and some are first placed while the model runs."""
    origin = getattr(hook, "func", hook)
    return (getattr(origin, "__module__", None) or "").startswith("transformer_lens")


def decoder_blocks(twin: "PreTrainedModel") -> nn.ModuleList:
    """The decoder's blocks, in order.

    ValueError if the model has none or several lists of the right length.
    """
    n_layers = twin.config.get_text_config().num_hidden_layers
    lists = [m for m in twin.modules() if isinstance(m, nn.ModuleList) and len(m) == n_layers]
    nested = {id(inner) for one in lists for inner in one.modules() if inner is not one}
    outermost = [one for one in lists if id(one) not in nested]
    if len(outermost) != 1:
        raise ValueError(f"{type(twin).__name__} has {len(outermost)} lists of {n_layers} blocks")
    return outermost[0]


class SilentBlockError(RuntimeError):
    """An edit was asked for at a block that never ran."""


@contextmanager
def blocks_edited(twin: "PreTrainedModel", edits: Mapping[int, Edit]) -> Iterator[None]:
    """Put `edit(output)` in the place of the output of the blocks named by layer.

    What `interventions.edited` does at `hook_resid_post`, on the twin. IndexError for a layer that
    the model does not have; SilentBlockError on leaving if a block never ran.
    """
    blocks, fired = decoder_blocks(twin), dict.fromkeys(edits, 0)

    def hook(layer: int) -> Callable[..., Any]:
        def act(module: nn.Module, given: Any, output: Any) -> Any:
            fired[layer] += 1
            if isinstance(output, tuple):
                return (edits[layer](output[0]), *output[1:])
            return edits[layer](output)

        return act

    handles = []
    try:
        for layer in edits:
            handles.append(blocks[layer].register_forward_hook(hook(layer)))
        yield
    finally:
        for handle in handles:
            handle.remove()
    if silent := [layer for layer, count in fired.items() if not count]:
        raise SilentBlockError(f"blocks {silent} never ran while their edits were held")

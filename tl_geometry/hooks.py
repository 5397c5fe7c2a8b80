"""Hooks held by a `with` block, counted: one that never fires is an error, not a silence.

TransformerLens accepts hooks that cannot fire (rotary hooks of fused-QKV families, layers behind
`stop_at_layer`). An intervention that did nothing looks exactly like a null result.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from torch import Tensor
from transformer_lens.hook_points import HookPoint

from tl_geometry.models import Model

Act = Callable[[Tensor], Tensor | None]
"""Looks at an activation; what it returns, unless None, takes the activation's place."""


class SilentHookError(RuntimeError):
    """A hook was asked for and did not fire while the model ran."""


@contextmanager
def hooked(model: Model, acts: Mapping[str, Act]) -> Iterator[None]:
    """Run each act at its hook while the block is open.

    Hooks at one point act in the order in which their blocks were entered, so a reader entered
    inside an intervention sees what the intervention wrote. KeyError for a name that the model
    does not have; SilentHookError on leaving if one never fired.
    """
    fired = dict.fromkeys(acts, 0)

    def call(activation: Tensor, hook: HookPoint, *, name: str) -> Tensor | None:
        fired[name] += 1
        return acts[name](activation)

    with model.hooks(fwd_hooks=[(name, partial(call, name=name)) for name in acts]):
        yield
    # Reached only without an exception: a failed pass must report its own error.
    if silent := [name for name, count in fired.items() if not count]:
        raise SilentHookError(
            f"these hooks never fired: {', '.join(silent)}. Either the model was not run inside "
            "the block, it stopped at an earlier layer, or its family does not use them."
        )

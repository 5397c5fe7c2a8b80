"""Change activations while a `with` block is open; the model is as before when it closes.

Every intervention returns new tensors. Inside one batch, a row may take the value that another
row has at the same site (`replaced`, `frozen`): a condition and its unpatched reference then
travel through the model together, and nothing has to be stored.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from jaxtyping import Float, Int
from torch import Tensor

from tl_geometry.hooks import hooked
from tl_geometry.models import Model

Edit = Callable[[Tensor], Tensor]
"""Makes the activation that takes the place of the one it is given."""


@contextmanager
def edited(model: Model, edits: Mapping[str, Edit]) -> Iterator[None]:
    """Put `edit(activation)` in the place of the activation at each named hook."""
    with hooked(model, edits):
        yield


@contextmanager
def replaced(
    model: Model,
    name: str,
    values: Float[Tensor, "row window ..."],
    rows: Int[Tensor, " row"] | None = None,
) -> Iterator[None]:
    """Put `values` at the last `window` positions of the named rows (default: every row)."""

    def edit(activation: Tensor) -> Tensor:
        index = slice(None) if rows is None else rows
        new = activation.clone()
        new[index, -values.shape[1] :] = values.to(activation)
        return new

    with edited(model, {name: edit}):
        yield


def rows_from(source: Int[Tensor, " batch"]) -> Edit:
    """Row r takes the value of row `source[r]`; a row with `source[r] == r` stays as it is."""
    return lambda activation: activation.index_select(0, source.to(activation.device))


@contextmanager
def frozen(model: Model, names: Iterable[str], source: Int[Tensor, " batch"]) -> Iterator[None]:
    """Hold the named sites of row r at the value that row `source[r]` has in the same pass.

    With `source[r]` the unpatched twin of a patched row r, the component cannot answer the patch.
    """
    with edited(model, dict.fromkeys(names, rows_from(source))):
        yield

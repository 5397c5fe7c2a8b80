"""Change activations while a `with` block is open; the model is as before when it closes.

Every intervention returns new tensors. Inside one batch, a row may take the value that another
row has at the same site (`replaced`, `frozen`): a condition and its unpatched reference then
travel through the model together, and nothing has to be stored.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tl_geometry.hooks import hooked
from tl_geometry.models import Model
from tl_geometry.twins import Edit


@contextmanager
def edited(model: Model, edits: Mapping[str, Edit]) -> Iterator[None]:
    """Put `edit(activation)` in the place of the activation at each named hook."""
    with warnings.catch_warnings():
        # An edited norm is recomputed by TransformerLens from its scale, for every row of the
        # batch alike; it warns of float rounding. Rows of one batch stay comparable.
        warnings.filterwarnings("ignore", message="A forward hook edited hook_scale")
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

    def edit(activation: Tensor) -> Tensor:
        # OPT's norms are handed over as [batch · pos, d].
        by_row = activation.reshape(len(source), -1, *activation.shape[1:])
        return by_row.index_select(0, source.to(activation.device)).reshape(activation.shape)

    return edit


@contextmanager
def frozen(model: Model, names: Iterable[str], source: Int[Tensor, " batch"]) -> Iterator[None]:
    """Hold the named sites of row r at the value that row `source[r]` has in the same pass.

    With `source[r]` the unpatched twin of a patched row r, the component cannot answer the patch.
    """
    with edited(model, dict.fromkeys(names, rows_from(source))):
        yield


@torch.inference_mode()
def is_writable(model: Model, name: str) -> bool:
    """Whether the model answers when the activation at this hook is doubled.

    Some hooks only show a copy (OPT's attention pattern): writing there does nothing, silently.
    """
    ids = torch.arange(3, 7, device=model.cfg.device)[None]

    def logits() -> Tensor:
        return model(ids, attention_mask=torch.ones_like(ids))

    before = logits()
    with warnings.catch_warnings(), edited(model, {name: lambda activation: 2 * activation}):
        warnings.filterwarnings("ignore", message=".*The edit is discarded")
        return not torch.equal(logits(), before)

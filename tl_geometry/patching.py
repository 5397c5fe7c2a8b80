"""Many patches in one pass: rows of a batch that take their values from other rows of it.

Every patched text is a row, and so is every unpatched one. A row finds its donor's values and its
own unpatched twin *in the same tensor*: nothing is stored between passes, and a change against the
twin holds no rounding of another batch shape. Blocks before the patch run once for each text.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import observed, residual_before
from tl_geometry.geometry import gram, spectral_participation
from tl_geometry.interventions import Edit
from tl_geometry.models import Model
from tl_geometry.tokens import TokenBatch

Ids = tuple[int, ...]


@dataclass(frozen=True)
class RowPlan:
    """Which text, twin and donor each row of a resumed batch has."""

    texts: tuple[Ids, ...]
    """The unique texts; row t of the batch is text t, unpatched."""
    conditions: tuple[str, ...]
    twin: Int[Tensor, " row"]
    """The unpatched row of the same text."""
    donor: Int[Tensor, " row"]
    """The row whose values this one takes; its twin where it takes none."""
    n_pairs: int

    def rows(self, *conditions: str) -> Int[Tensor, " selected"]:
        """Row indices of these conditions, pair by pair within each; absent ones give none."""
        blocks = [self._block(c) for c in conditions if c in self.conditions]
        return torch.cat(blocks) if blocks else torch.zeros(0, dtype=torch.long)

    def _block(self, condition: str) -> Int[Tensor, " pair"]:
        start = len(self.texts) + self.conditions.index(condition) * self.n_pairs
        return torch.arange(start, start + self.n_pairs)


def row_plan(wanted: Mapping[str, Sequence[tuple[Ids, Ids]]]) -> RowPlan:
    """Condition → (text, text whose values it takes), pair by pair.

    The batch holds the unpatched texts first, each once, then condition by condition.
    """
    index: dict[Ids, int] = {}
    rows = [row for pairs in wanted.values() for row in pairs]
    for text in (text for row in rows for text in row):
        index.setdefault(text, len(index))
    unpatched = list(range(len(index)))
    return RowPlan(
        texts=tuple(index),
        conditions=tuple(wanted),
        twin=torch.tensor(unpatched + [index[own] for own, _ in rows]),
        donor=torch.tensor(unpatched + [index[source] for _, source in rows]),
        n_pairs=len(next(iter(wanted.values()))),
    )


def copied_values(donor: Int[Tensor, " row"], window: int, behind: int = 0) -> Edit:
    """Row r takes the value vectors of row `donor[r]` at the `window` positions that end `behind`
    positions before the end."""

    def edit(values: Float[Tensor, "row pos n_kv d_head"]) -> Tensor:
        new = values.clone()
        end = values.shape[1] - behind
        new[:, end - window : end] = values[donor, end - window : end]
        return new

    return edit


@dataclass
class Readings:
    """Numbers of each row, collected while the model runs: metric → layer → value per row."""

    window: int
    values: dict[str, dict[int, Tensor]] = field(default_factory=lambda: defaultdict(dict))

    def keep(self, metric: str, layer: int, value: Float[Tensor, " row"]) -> None:
        self.values[metric][layer] = value

    def last(self, activation: Tensor, n_rows: int) -> Float[Tensor, "row w d"]:
        """The window of each row, whatever shape the family hands over."""
        by_row = (
            activation.reshape(n_rows, -1, *activation.shape[1:])
            if (len(activation) != n_rows)
            else activation
        )
        return by_row[:, -self.window :].flatten(2)

    def table(self, metric: str) -> Float[np.ndarray, "layer row"]:
        """One metric over the layers at which it was read, in their order."""
        layers = self.values[metric]
        stacked = torch.stack([layers[n] for n in sorted(layers)])
        return stacked.double().cpu().numpy()


def value_reader(readings: Readings, layer: int, n_rows: int) -> Callable[[Tensor], None]:
    """Keeps the participation ratio of the values: as they are, centred, and row-normalised."""

    def read(values: Tensor) -> None:
        x = readings.last(values, n_rows)
        readings.keep("pr_value", layer, pr(x))
        readings.keep("pr_value_centered", layer, pr(x, centered=True))
        readings.keep("pr_value_row_normalized", layer, pr(x, row_normalized=True))

    return read


def pr(x: Float[Tensor, "row w d"], **variant: bool) -> Float[Tensor, " row"]:
    """Participation ratio, NaN where it is undefined: the caller gives the reason."""
    return spectral_participation(gram(x, **variant))


def run_up(
    model: Model, texts: TokenBatch, layer: int, window: int
) -> tuple[Readings, Float[Tensor, "text pos d"]]:
    """The residual entering `layer`, and the value PRs of the layers before it."""
    readings = Readings(window)
    readers = {sites.value(n): value_reader(readings, n, len(texts)) for n in range(layer)}
    with observed(model, readers) if readers else nullcontext():
        return readings, residual_before(model, texts, layer)

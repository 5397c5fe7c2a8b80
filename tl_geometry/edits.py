"""What is done to the rows of a pass under which candidate directions are scored."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry import sites
from tl_geometry.interventions import edited
from tl_geometry.models import Model
from tl_geometry.steering import ablated, affine, on_real_tokens
from tl_geometry.tokens import TokenBatch

Kind = Literal["linear", "affine"]


@dataclass(frozen=True)
class Edit:
    """Removal or addition of a candidate at each row, in a pass that may end early."""

    vectors: Float[Tensor, "row d"]
    references: Float[Tensor, "row d"]
    layer: int
    adds: bool
    """Or removes."""
    kind: Kind
    stop: int
    """The first block that does not run; n_layers for a pass that ends with logits."""

    @property
    def local(self) -> bool:
        """Whether only the input of one block is edited: all before it stays as it was."""
        return self.adds or self.kind == "affine"

    @contextmanager
    def held(self, model: Model, rows: TokenBatch) -> Iterator[None]:
        if not self.local:
            unit = self.vectors / self.vectors.norm(dim=-1, keepdim=True)
            with ablated(model, unit, rows.mask, stop=self.stop):
                yield
            return
        act = partial(_plus, self.vectors)
        if self.kind == "affine":
            amount = torch.full((len(self.vectors),), float(self.adds))
            act = affine(self.vectors, self.references, amount)
        with edited(model, {sites.resid_pre(self.layer): on_real_tokens(act, rows.mask)}):
            yield


def _plus(
    vectors: Float[Tensor, "row d"], x: Float[Tensor, "row pos d"]
) -> Float[Tensor, "row pos d"]:
    return x + vectors.to(x)[:, None]

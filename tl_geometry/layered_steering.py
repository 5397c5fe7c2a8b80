"""Steering with a vector of its own at every layer, each row of a batch with its own.

What D-STEER and its followers do: h[l] + λ v[l] at several blocks' outputs and all positions, and,
where the norm is kept, every token rescaled to the length that it had.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry import sites
from tl_geometry.interventions import edited
from tl_geometry.models import Model
from tl_geometry.tokens import TokenBatch
from tl_geometry.twins import Edit


@dataclass(frozen=True, eq=False)
class LayeredSteering:
    """What is added to block outputs, row by row."""

    vectors: Float[Tensor, "row layer d"]
    """Already multiplied by λ; one a row and steered layer."""
    layers: tuple[int, ...]
    """Blocks whose outputs are edited, in the order of the vectors."""
    keep_norm: bool = True

    def __post_init__(self) -> None:
        if self.vectors.shape[1] != len(self.layers):
            raise ValueError(
                f"{self.vectors.shape[1]} vectors a row meet {len(self.layers)} layers"
            )
        if not self.vectors.isfinite().all():
            raise ValueError("a steering vector holds NaN or infinity")

    def __len__(self) -> int:
        return len(self.vectors)

    def rows(self, index: Sequence[int]) -> "LayeredSteering":
        return LayeredSteering(self.vectors[list(index)], self.layers, self.keep_norm)

    def edits(self, batch: TokenBatch) -> dict[int, Edit]:
        """Layer → edit, for one batch and what is generated behind it; padding stays as it is.
        Layers at which no row is steered are left out."""
        if len(self) != len(batch):
            raise ValueError(f"{len(self)} rows of steering meet {len(batch)} rows of prompts")
        return {
            layer: self._edit(k, batch)
            for k, layer in enumerate(self.layers)
            if self.vectors[:, k].any()
        }

    def held(self, model: Model, batch: TokenBatch) -> AbstractContextManager[None]:
        """The same edits, held by hooks of the bridge: for forward passes."""
        edits = self.edits(batch)
        return edited(model, {sites.resid_post(layer): edit for layer, edit in edits.items()})

    def _edit(self, k: int, batch: TokenBatch) -> Edit:
        added = self.vectors[:, k, None].to(batch.mask.device)
        steered = added.any(-1, keepdim=True)
        real = batch.mask[..., None] > 0

        def edit(x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos d"]:
            new = x + added.to(x)
            if self.keep_norm:
                length = new.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
                new = new * (x.norm(dim=-1, keepdim=True) / length)
            # While generating, one new token at a time comes by, and all of them are real.
            where = steered & real if x.shape[1] == real.shape[1] else steered
            return torch.where(where, new, x)

        return edit


def random_like(
    vectors: Float[Tensor, "layer d"], generator: torch.Generator
) -> Float[Tensor, "layer d"]:
    """The whole stack turned at random: at each layer as long as the vector there, and between
    layers at the same angles.

    Directions drawn layer by layer would half cancel each other where vectors that belong together
    add up, so they would be a weaker push.
    """
    basis, parts = torch.linalg.qr(vectors.detach().cpu().double().T)
    drawn = torch.randn(basis.shape, generator=generator, dtype=torch.float64)
    turned, signs = torch.linalg.qr(drawn)
    # Without the signs QR prefers some rotations to others (Mezzadri 2007).
    turned = turned * signs.diagonal().sign()
    return (turned @ parts).T.to(vectors)

"""Edits of the residual stream that steer: each row of a batch brings its own.

A dose is stated in one of three units and always recorded in all: as an absolute multiple of the
unit vector (`unit`), of the difference as measured (`raw`), or of the mean length of the residual
stream at the site (`residual`). Absolute doses do not carry over between models: residual norms
differ by orders of magnitude.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tl_geometry import sites
from tl_geometry.directions import Direction
from tl_geometry.interventions import edited
from tl_geometry.models import Model
from tl_geometry.tokens import TokenBatch
from tl_geometry.twins import Edit

DoseUnit = Literal["unit", "raw", "residual"]
Span = Literal["layer", "to_end", "everywhere"]
Positions = Literal["all", "prompt", "generated"]


def absolute_dose(direction: Direction, dose: float, unit: DoseUnit) -> float:
    """The multiple of the unit vector. ValueError where the residual norm is not known."""
    if unit == "unit":
        return dose
    if unit == "raw":
        return dose * direction.norm
    if unit != "residual":
        raise ValueError(f"dose unit {unit!r} is unknown: choose unit, raw or residual")
    if (norm := direction.provenance.get("residual_norm")) is None:
        raise ValueError("this direction does not say how long the residual stream is at its site")
    return dose * float(norm)


def stated(direction: Direction, dose: float, unit: DoseUnit) -> dict[str, float]:
    """One dose in all three units (NaN where the residual norm is not known)."""
    multiple = absolute_dose(direction, dose, unit)
    norm = float(direction.provenance.get("residual_norm", float("nan")))
    return {
        "dose_unit": multiple,
        "dose_raw": multiple / direction.norm,
        "dose_residual": multiple / norm,
    }


@dataclass(frozen=True, eq=False)
class Steering:
    """What is added to block outputs, row by row."""

    vectors: Float[Tensor, "row d"]
    """Already multiplied by the dose."""
    layers: Bool[Tensor, "row layer"]
    """At which blocks' outputs (`hook_resid_post`) a row's vector is added."""
    positions: Positions = "all"

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def stack(cls, parts: Sequence["Steering"]) -> "Steering":
        """Rows of several, in their order. ValueError where they mean different positions."""
        if len({part.positions for part in parts}) != 1:
            raise ValueError("rows of one batch are steered at the same kind of positions")
        vectors, layers = (torch.cat([getattr(p, n) for p in parts]) for n in ("vectors", "layers"))
        return cls(vectors, layers, parts[0].positions)

    def rows(self, index: Int[Tensor, " row"]) -> "Steering":
        return Steering(self.vectors[index], self.layers[index], self.positions)

    def edits(self, batch: TokenBatch) -> dict[int, Edit]:
        """Layer → edit, for `generate(..., edits=...)` of this very batch, once."""
        if len(self) != len(batch):
            raise ValueError(f"{len(self)} rows of steering meet {len(batch)} rows of prompts")
        touched = self.layers.any(0).nonzero().flatten().tolist()
        return {layer: _Addition(self, layer, batch.mask) for layer in touched}


def steering(
    vector: Float[Tensor, " d"],
    rows: int,
    layer: int,
    n_layers: int,
    span: Span = "to_end",
    positions: Positions = "all",
) -> Steering:
    """`rows` rows alike: the vector added at the output of block `layer`, of all blocks from there
    to the end (what the plan calls 15×), or of every block. ValueError for a layer that the model
    does not have, or an unknown span or kind of positions."""
    sites.check_layers((layer,), n_layers)
    if span not in ("layer", "to_end", "everywhere"):
        raise ValueError(f"span {span!r} is unknown: choose layer, to_end or everywhere")
    if positions not in ("all", "prompt", "generated"):
        raise ValueError(f"positions {positions!r} is unknown: choose all, prompt or generated")
    depth = torch.arange(n_layers)
    where = {"layer": depth == layer, "to_end": depth >= layer, "everywhere": depth >= 0}[span]
    return Steering(vector.expand(rows, -1), where.expand(rows, -1), positions)


class _Addition:
    """The edit of one block in one generation: the prompt first, then one token at a time."""

    def __init__(self, steering: Steering, layer: int, mask: Int[Tensor, "batch pos"]) -> None:
        chosen = steering.layers[:, layer, None, None]
        self.added = (steering.vectors[:, None] * chosen).to(mask.device)
        self.mask, self.positions, self.in_prompt = mask, steering.positions, True

    def __call__(self, resid: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos d"]:
        in_prompt, self.in_prompt = self.in_prompt, False
        if self.positions == ("generated" if in_prompt else "prompt"):
            return resid
        added = self.added.to(resid)
        # Padding is never touched: not even where nobody would read it.
        return (
            torch.where(self.mask[..., None] > 0, resid + added, resid)
            if in_prompt
            else (resid + added)
        )


def without(unit: Float[Tensor, "row d"] | Float[Tensor, " d"]) -> Edit:
    """x − r̂ r̂ᵀ x: Arditi et al. 2024, eq. 4. One direction, or one a row."""

    def edit(x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos d"]:
        r = unit.to(x) if unit.ndim == 1 else unit.to(x)[:, None]
        return x - (x * r).sum(-1, keepdim=True) * r

    return edit


def affine(
    vector: Float[Tensor, "row d"],
    reference: Float[Tensor, "row d"],
    amount: Float[Tensor, " row"],
) -> Edit:
    """x − proj(x) + proj(reference) + amount · r (ACE): Marshall et al. 2024 (arXiv 2411.09003).

    Amount 0 removes the concept, 1 adds it; one direction, reference and amount a row.
    """
    unit = vector / vector.norm(dim=-1, keepdim=True)
    target = (reference * unit).sum(-1, keepdim=True) * unit + amount[:, None] * vector
    remove = without(unit)

    def edit(x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos d"]:
        return remove(x) + target.to(x)[:, None]

    return edit


def on_real_tokens(edit: Edit, mask: Int[Tensor, "batch pos"]) -> Edit:
    """The same edit, with padding left as it is."""

    def masked(x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos d"]:
        new = edit(x)
        # While generating, one new token at a time comes by, and all of them are real.
        return torch.where(mask[..., None] > 0, new, x) if x.shape[1] == mask.shape[1] else new

    return masked


@contextmanager
def ablated(
    model: Model,
    unit: Float[Tensor, "row d"] | Float[Tensor, " d"],
    mask: Int[Tensor, "batch pos"],
    stop: int | None = None,
) -> Iterator[None]:
    """Nothing writes along the direction: every block's input, attention and MLP lose it.

    Directional ablation of Arditi et al. 2024, §2.4; exactly what subtracting it from every
    matrix that writes to the stream does. Where a family has norms behind attention and MLP
    (Gemma-2), what they hand to the stream is edited. `stop`: the first block that will not run.
    """
    names = [
        at(layer)
        for layer in range(model.cfg.n_layers if stop is None else stop)
        for at in (sites.resid_pre, sites.attn_out, sites.mlp_out)
    ]
    with edited(model, dict.fromkeys(names, on_real_tokens(without(unit), mask))):
        yield

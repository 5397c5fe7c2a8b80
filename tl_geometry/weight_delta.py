"""What training changed: tuned minus base weights, tensor by tensor, without building a model.

A difference is a pair of checkpoints (two models, or two revisions of one) or an adapter
(`tl_geometry.adapters`). It is walked through layer by layer, one stored tensor of each model in
memory at a time.

Small changes are bounded below by the type in which the weights were published: bfloat16 keeps 8
binary digits. Where base and tuned model are stored in two types (float32 and bfloat16, say), the
mere rounding of the finer one appears as a change of every matrix: `Norm.rounding` says how large.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry.checkpoints import FLOATS, Checkpoint
from tl_geometry.components import Part


@runtime_checkable
class Difference(Protocol):
    """What training made of a base model."""

    @property
    def base(self) -> Checkpoint: ...
    @property
    def left_out(self) -> Mapping[str, str]:
        """Tensors that cannot be compared, and why."""
        ...

    @property
    def parts(self) -> tuple[Part, ...]:
        """What can be compared, layer by layer."""
        ...

    def change(self, name: str) -> "TensorChange":
        """Base weights and what is added to them, as stored."""
        ...


@dataclass(frozen=True, eq=False)
class TensorChange:
    """One stored tensor of the base model, and its change."""

    base: Float[Tensor, "*stored"]
    delta: Float[Tensor, "*stored"]
    rounding: Float[Tensor, "*stored"] | None = None
    """The change that rounding alone would make; None where both are of one type."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two checkpoints of one architecture.

    ValueError with the first tensor of a block that is in one of them only, or of another shape.
    Outside of the blocks (embeddings of a larger vocabulary, a tied output matrix, buffers) such
    tensors are left out with a reason.
    """

    base: Checkpoint
    tuned: Checkpoint

    def __post_init__(self) -> None:
        if self.base.layout != self.tuned.layout:
            raise ValueError(
                f"{self.base.name} and {self.tuned.name} cut their fused tensors differently: "
                f"{dict(self.base.layout)} against {dict(self.tuned.layout)}"
            )
        for part in (*self.base.parts, *self.tuned.parts):
            reason = self._why_not(part.name)
            if reason and part.layer is not None and part.component != "other":
                raise ValueError(f"these models do not fit: {part.name} {reason}")

    @property
    def left_out(self) -> Mapping[str, str]:
        names = dict.fromkeys((*self.base.names, *self.tuned.names))
        return {name: reason for name in names if (reason := self._why_not(name))}

    @property
    def parts(self) -> tuple[Part, ...]:
        left_out = self.left_out
        return tuple(part for part in self.base.parts if part.name not in left_out)

    def change(self, name: str) -> TensorChange:
        base, tuned = self.base.tensor(name), self.tuned.tensor(name)
        rounding = self._rounding(name, base, tuned)
        return TensorChange(base, tuned.sub_(base), rounding)

    def _why_not(self, name: str) -> str:
        mine, theirs = self.base.stored.get(name), self.tuned.stored.get(name)
        if mine is None or theirs is None:
            return f"is in {(self.tuned if mine is None else self.base).name} only"
        if mine.shape != theirs.shape:
            return f"is {mine.shape} in {self.base.name} and {theirs.shape} in {self.tuned.name}"
        if strange := [one.dtype for one in (mine, theirs) if one.dtype not in FLOATS]:
            return f"is stored as {strange[0]}, which holds no weights"
        return ""

    def _rounding(self, name: str, base: Tensor, tuned: Tensor) -> Tensor | None:
        types = [FLOATS[one.stored[name].dtype] for one in (self.base, self.tuned)]
        if types[0] == types[1]:
            return None
        coarse = max(types, key=lambda dtype: torch.finfo(dtype).eps)
        finer = base if coarse == types[1] else tuned
        return finer.to(coarse).float() - finer


@dataclass(frozen=True, eq=False)
class Change:
    """One component's change, in [out, in] (a bias or a norm: [out])."""

    part: Part
    base: Float[Tensor, "*part"]
    delta: Float[Tensor, "*part"]
    rounding: Float[Tensor, "*part"] | None = None


def changes(difference: Difference, components: Collection[str] | None = None) -> Iterator[Change]:
    """The changes of all components, or of those named, layer by layer.

    A tensor is read once for all the components that it holds, and let go before the next is read;
    whoever keeps a `Change` keeps its memory. ValueError for a component that does not occur.
    """
    wanted = [p for p in difference.parts if components is None or p.component in components]
    if components and (unknown := set(components) - {part.component for part in wanted}):
        known = sorted({part.component for part in difference.parts})
        raise ValueError(f"no component {sorted(unknown)}: this model has {', '.join(known)}")
    for name, parts in groupby(wanted, key=lambda part: part.name):
        stored = difference.change(name)
        for part in parts:
            rounding = None if stored.rounding is None else part.of(stored.rounding)
            yield Change(part, part.of(stored.base), part.of(stored.delta), rounding)
        del stored, rounding


@dataclass(frozen=True)
class Norm:
    """How much a component changed, in Frobenius norms."""

    layer: int | None
    component: str
    tensor: str
    n: int
    """Numbers in it: a change that is spread evenly has a norm in proportion to √n."""
    norm: float
    base_norm: float
    relative: float
    """Norm over base norm; NaN where `reason` says why."""
    rounding: float
    """Norm of what storing the two models in different types does alone; 0 for equal types."""
    reason: str = ""


def norms(difference: Difference) -> list[Norm]:
    """A row for every component that can be compared, biases, norms and `other` among them."""
    return [_norm(change) for change in changes(difference)]


def _norm(change: Change) -> Norm:
    norm, base_norm = length(change.delta), length(change.base)
    rounding = 0.0 if change.rounding is None else length(change.rounding)
    return Norm(
        layer=change.part.layer,
        component=change.part.component,
        tensor=change.part.name,
        n=change.delta.numel(),
        norm=norm,
        base_norm=base_norm,
        relative=norm / base_norm if base_norm else float("nan"),
        rounding=rounding,
        reason="" if base_norm else "the base tensor is zero",
    )


def length(values: Float[Tensor, "*any"]) -> float:
    """Frobenius norm. Rows in float32, their sum in float64: one float32 sum over a large matrix is
    wrong by half a per cent, and one in float64 takes thirty times as long."""
    by_row = torch.linalg.vector_norm(values, dim=-1) if values.ndim > 1 else values
    return float(torch.linalg.vector_norm(by_row, dtype=torch.float64))

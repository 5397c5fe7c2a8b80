"""Directions in the residual stream: how they are measured, and what is known of each.

The residual stream has n_layers + 1 states: state l enters block l, and state n_layers leaves the
last block, before the final norm. A direction belongs to a state and to a position counted from
the end of the prompt.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import Reader, lean, observed
from tl_geometry.models import Model
from tl_geometry.tokens import Ids, TokenBatch, batches


@dataclass(frozen=True, eq=False)
class Direction:
    """A vector of the residual stream as it was measured; its length is kept."""

    vector: Float[Tensor, " d"]
    layer: int
    """State of the residual stream: what enters block `layer` (n_layers: what leaves the last)."""
    position: int
    """Token of the prompt it was measured at, counted from the end: -1 is the last."""
    method: str
    reference: Float[Tensor, " d"] | None = None
    """Mean of the negative class there, which affine edits move to."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Model, prompts, scores: whatever tells where it comes from (JSON)."""

    def __post_init__(self) -> None:
        if not torch.isfinite(self.vector).all() or not self.vector.any():
            raise ValueError(
                f"the direction at layer {self.layer}, position {self.position} is zero or not "
                "finite, so it points nowhere"
            )

    @property
    def norm(self) -> float:
        return float(self.vector.norm())

    @property
    def unit(self) -> Float[Tensor, " d"]:
        return self.vector / self.vector.norm()

    def save(self, path: str | Path) -> None:
        """One safetensors file: the vectors, and the rest as JSON in its header."""
        tensors = {"vector": self.vector.contiguous()}
        if self.reference is not None:
            tensors["reference"] = self.reference.contiguous()
        about = {"layer": self.layer, "position": self.position, "method": self.method}
        header = {"direction": json.dumps({**about, "provenance": dict(self.provenance)})}
        save_file(tensors, str(path), metadata=header)

    @classmethod
    def load(cls, path: str | Path) -> "Direction":
        """ValueError for a file that is no saved direction."""
        with safe_open(str(path), framework="pt") as file:
            about = (file.metadata() or {}).get("direction")
            if about is None:
                raise ValueError(f"{path} holds no direction saved by `Direction.save`")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # no dict
        return cls(**tensors, **json.loads(about))


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """Mean residual stream of two classes of prompts, at every state and the last positions."""

    positive: Float[Tensor, "state pos d"]
    """float64; `[:, -1]` is the last token."""
    negative: Float[Tensor, "state pos d"]
    norms: Float[Tensor, "state pos"]
    """Mean length of the residual stream over all prompts of both classes."""
    n: tuple[int, int]
    """Prompts of each class."""
    last: Float[Tensor, "2 d"]
    """Mean last token of the last block's output, of both classes, as `sites.hidden_state`."""

    @property
    def n_positions(self) -> int:
        return self.positive.shape[1]

    @property
    def positions(self) -> range:
        """-n_positions to -1."""
        return range(-self.n_positions, 0)

    @property
    def difference(self) -> Float[Tensor, "state pos d"]:
        return self.positive - self.negative

    @property
    def outputs(self) -> tuple[Float[Tensor, "layer d"], Float[Tensor, "layer d"]]:
        """Mean last token of every block's output, of both classes: COSMIC looks for its evaluation
        layers there. They are the states behind the first, but for the last (`last`)."""
        positive, negative = (
            torch.cat([states[1:-1, -1], last[None]])
            for states, last in zip((self.positive, self.negative), self.last, strict=True)
        )
        return positive, negative

    def direction(self, layer: int, position: int, method: str = "dim", **about: Any) -> Direction:
        """Difference of the means there (DIM): Arditi et al. 2024 (arXiv 2406.11717), eq. 3."""
        return Direction(
            self.difference[layer, position].float(),
            layer,
            position,
            method,
            self.negative[layer, position].float(),
            # Of the last token wherever the direction comes from: a dose in shares of it is then
            # the same length for all directions of a layer.
            {"residual_norm": float(self.norms[layer, -1]), "n": list(self.n), **about},
        )


def class_means(
    model: Model,
    positive: Sequence[Ids],
    negative: Sequence[Ids],
    *,
    n_positions: int = 1,
    batch_size: int = 64,
) -> ClassMeans:
    """One pass a prompt reads all states, positions and outputs; sums are kept in float64.

    ValueError for a class without prompts, or prompts shorter than `n_positions`.
    """
    for prompts in (positive, negative):
        _check(prompts, n_positions)
    totals = []
    for prompts in (positive, negative):
        totals.append(_Sums(model, n_positions))
        for batch in batches(model, prompts, batch_size):
            totals[-1].add(model, batch)
    n = (len(positive), len(negative))
    states = [total.values / size for total, size in zip(totals, n, strict=True)]
    last = torch.stack([total.last / size for total, size in zip(totals, n, strict=True)])
    norms = (totals[0].lengths + totals[1].lengths) / sum(n)
    return ClassMeans(states[0], states[1], norms, n, last)


class _Sums:
    """Running sums over prompts, so that memory does not grow with their number."""

    def __init__(self, model: Model, n_positions: int) -> None:
        shape = (model.cfg.n_layers + 1, n_positions, model.cfg.d_model)
        self.values = torch.zeros(shape, dtype=torch.float64)
        self.lengths = torch.zeros(shape[:2], dtype=torch.float64)
        self.last = torch.zeros(shape[2], dtype=torch.float64)

    @torch.inference_mode()
    def add(self, model: Model, batch: TokenBatch) -> None:
        n_layers = model.cfg.n_layers
        readers = {sites.resid_pre(layer): self._reader(layer) for layer in range(n_layers)}
        readers[sites.resid_post(n_layers - 1)] = self._reader(n_layers)
        output = {sites.hidden_state(model, n_layers - 1): self._read_last}
        with observed(model, readers), observed(model, output):
            model(batch.ids, attention_mask=batch.mask, **lean(model))

    def _reader(self, state: int) -> Reader:
        n_positions = self.values.shape[1]

        def read(resid: Float[Tensor, "batch pos d"]) -> None:
            last = resid[:, -n_positions:].double()
            self.values[state] += last.sum(0).cpu()
            self.lengths[state] += last.norm(dim=-1).sum(0).cpu()

        return read

    def _read_last(self, output: Float[Tensor, "batch pos d"]) -> None:
        self.last += output[:, -1].double().sum(0).cpu()


def _check(prompts: Sequence[Ids], n_positions: int) -> None:
    if not prompts:
        raise ValueError("a difference of means needs prompts in both classes")
    if (shortest := min(map(len, prompts))) < n_positions:
        raise ValueError(
            f"a prompt has {shortest} tokens, and the last {n_positions} positions are asked for"
        )

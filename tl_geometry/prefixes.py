"""What many edited passes over the same prompts share: the untouched blocks before the edit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import Reader, observed, residual_before, run_until
from tl_geometry.models import Model
from tl_geometry.resume import resumed
from tl_geometry.tokens import Ids, TokenBatch, batches


@dataclass(frozen=True, eq=False)
class Untouched:
    """What one batch of prompts shows of the model as it is."""

    outputs: Mapping[int, Float[Tensor, "batch d"]]
    """Layer → output of the block at the last token (`sites.hidden_state`)."""
    logits: Float[Tensor, "batch vocab"]
    """Of the next token."""


@dataclass(eq=False)
class Prefixes:
    """Prompts in batches, with the untouched residual stream entering one layer at a time.

    Asking for layers in ascending order costs one block a layer; going back costs a new run-up.
    """

    model: Model
    prompts: Sequence[Ids]
    batch_size: int
    _at: int = field(default=-1, init=False)
    _streams: list[Tensor] = field(default_factory=list, init=False)

    @cached_property
    def batches(self) -> list[TokenBatch]:
        return list(batches(self.model, self.prompts, self.batch_size))

    def streams(self, layer: int) -> list[Float[Tensor, "batch pos d"]]:
        """The residual stream entering the layer, one tensor a batch."""
        if self._at != layer:
            if self._streams and self._at == layer - 1:
                before = zip(self.batches, self._streams, strict=True)
                self._streams = [self._advanced(batch, resid) for batch, resid in before]
            else:
                self._streams = [residual_before(self.model, b, layer) for b in self.batches]
            self._at = layer
        return self._streams

    @torch.inference_mode()
    def _advanced(
        self, batch: TokenBatch, resid: Float[Tensor, "batch pos d"]
    ) -> Float[Tensor, "batch pos d"]:
        """One block further."""
        seen: list[Tensor] = []
        reader = {sites.resid_post(self._at): seen.append}
        with resumed(self.model, self._at, resid), observed(self.model, reader):
            run_until(self.model, batch, self._at + 1)
        return seen[0]

    @cached_property
    def untouched(self) -> list[Untouched]:
        """One whole pass a batch."""
        return [self._read(batch) for batch in self.batches]

    @torch.inference_mode()
    def _read(self, batch: TokenBatch) -> Untouched:
        outputs: dict[int, Tensor] = {}
        n_layers = self.model.cfg.n_layers
        with observed(self.model, last_token_readers(self.model, range(n_layers), outputs)):
            logits = run_until(self.model, batch, n_layers)[:, -1]
        return Untouched(outputs, logits)


def last_token_readers(
    model: Model, layers: Iterable[int], into: dict[int, Tensor]
) -> dict[str, Reader]:
    """Readers that keep what each of the blocks gives out at the last token."""

    def reader(layer: int) -> Reader:
        return lambda x: into.update({layer: x[:, -1].clone()})

    return {sites.hidden_state(model, layer): reader(layer) for layer in layers}

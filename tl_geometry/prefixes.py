"""What many edited passes over the same prompts share: the untouched blocks before the edit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import lean, observed, residual_before
from tl_geometry.models import Model
from tl_geometry.resume import resumed
from tl_geometry.tokens import Ids, TokenBatch, batches


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
            self.model(
                batch.ids,
                attention_mask=batch.mask,
                stop_at_layer=self._at + 1,
                **lean(self.model),
            )
        return seen[0]

    @cached_property
    def outputs(self) -> list[dict[int, Float[Tensor, "batch d"]]]:
        """Untouched output of every block at the last token: one mapping a batch.

        The last block's is taken behind the final norm, as in Hugging Face's hidden states.
        """
        return [self._read(batch) for batch in self.batches]

    @torch.inference_mode()
    def _read(self, batch: TokenBatch) -> dict[int, Float[Tensor, "batch d"]]:
        seen: dict[int, Tensor] = {}
        readers = {
            output_at(self.model, n): lambda x, n=n: seen.update({n: x[:, -1].clone()})
            for n in range(self.model.cfg.n_layers)
        }
        with observed(self.model, readers):
            self.model(batch.ids, attention_mask=batch.mask, **lean(self.model))
        return seen


def output_at(model: Model, layer: int) -> str:
    """The hook of Hugging Face's `hidden_states[layer + 1]`."""
    return "ln_final.hook_out" if layer == model.cfg.n_layers - 1 else sites.resid_post(layer)

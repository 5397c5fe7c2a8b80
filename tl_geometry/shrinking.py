"""Generation in which rows that have ended leave the batch.

Hugging Face computes every row until the last one has ended, although in a sweep of conditions most
answers are half as long as the longest. Here, whenever a part of the rows has ended, the rest go on
without them: their ids, their mask and their part of the cache. Every row's ids are what they were.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tl_geometry.tokens import TokenBatch
from tl_geometry.twins import Edit

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FEW = 16
"""With so few rows a step takes as long as with one."""
PART = 0.2
"""The part of the rows that must have ended to make a new start worth while."""


def can_shrink(twin: "PreTrainedModel", batch: TokenBatch, ends: Collection[int] | None) -> bool:
    """Whether rows can leave: there are many, they can end, and the cache is one a row (that of
    recurrent models is no `Cache`)."""
    return len(batch) > FEW and bool(ends) and not twin._is_stateful


@dataclass(eq=False)
class Present:
    """Which rows of the batch are still there; all at first."""

    kept: Int[Tensor, " present"]
    n: int

    @classmethod
    def all_of(cls, batch: TokenBatch) -> "Present":
        return cls(torch.arange(len(batch), device=batch.ids.device), len(batch))

    def narrowed(self, edits: Mapping[int, Edit]) -> dict[int, Edit]:
        """The edits, which know all rows, for those that are there."""
        return {layer: self._narrowed(edit) for layer, edit in edits.items()}

    def _narrowed(self, edit: Edit) -> Edit:
        def act(x: Tensor) -> Tensor:
            if len(self.kept) == self.n:
                return edit(x)
            every = x.new_zeros(self.n, *x.shape[1:])
            every[self.kept] = x
            return edit(every)[self.kept]

        return act


@dataclass(eq=False)
class _EnoughEnded:
    """Stops all rows where `PART` of them has ended; Hugging Face's own stop is for the rest."""

    ends: Int[Tensor, " end"]
    rows: int
    ended: Bool[Tensor, " row"] | None = field(default=None, init=False)

    def __call__(self, ids: Int[Tensor, "row pos"], scores: Any, **_: Any) -> Bool[Tensor, " row"]:
        now = torch.isin(ids[:, -1], self.ends)
        self.ended = now if self.ended is None else self.ended | now
        enough = self.rows > FEW and self.ended.float().mean() >= PART
        return torch.full_like(now, bool(enough))


def generate_shrinking(
    twin: "PreTrainedModel", batch: TokenBatch, options: Mapping[str, Any], present: Present
) -> Int[Tensor, "batch pos"]:
    """What `twin.generate(batch.ids, **options)` gives, greedy, with fewer rows on the way.

    `options` has `max_new_tokens`, `eos_token_id` and `pad_token_id`; edits that are held must be
    those of `present.narrowed`.
    """
    run: Any = twin.generate
    start = length = batch.ids.shape[1]
    ends = torch.tensor(options["eos_token_id"], device=batch.ids.device)
    last = start + options["max_new_tokens"]
    out = batch.ids.new_full((len(batch), last), options["pad_token_id"])
    out[:, :start] = batch.ids
    cache = None
    while len(present.kept) and length < last:
        kept = present.kept
        found = run(
            out[kept, :length],
            **{**options, "max_new_tokens": last - length},
            attention_mask=_mask(batch, kept, length),
            past_key_values=cache,
            stopping_criteria=[_EnoughEnded(ends, len(kept))],
            return_dict_in_generate=True,
        )
        length = found.sequences.shape[1]
        out[kept, :length] = found.sequences
        going = (~torch.isin(found.sequences[:, start:], ends).any(1)).nonzero()[:, 0]
        cache, present.kept = found.past_key_values, kept[going]
        if len(going) and length < last:
            cache.batch_select_indices(going)
    return out[:, :length]


def _mask(batch: TokenBatch, kept: Int[Tensor, " row"], length: int) -> Int[Tensor, "row pos"]:
    """The prompt's mask, and ones for what was said: a row that has ended is not there."""
    new = batch.mask.new_ones(len(kept), length - batch.mask.shape[1])
    return torch.cat([batch.mask[kept], new], dim=1)

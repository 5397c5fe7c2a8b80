"""One vector a text and layer: the residual stream at the last token, or its mean over tokens."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from tl_geometry import sites
from tl_geometry.capture import Reader, observed, run_until
from tl_geometry.models import Model
from tl_geometry.tokens import Ids, TokenBatch, pad

Pool = Literal["mean", "last"]
POOLS: tuple[Pool, ...] = ("mean", "last")


@torch.inference_mode()
def pooled_states(
    model: Model,
    prompts: Sequence[Ids],
    layers: Sequence[int],
    pools: Sequence[Pool] = POOLS,
    *,
    batch_size: int = 64,
    title: str = "texts",
) -> dict[Pool, Float[Tensor, "text layer d"]]:
    """float32 on the CPU; the output of each block (`hook_resid_post`), in the order of the texts.

    One pass a text; means are taken in the hook and in float64, over real tokens without the
    beginning-of-sequence token; blocks behind the last of the layers do not run. ValueError for a
    layer that the model does not have, or a text of which a mean would be empty.
    """
    sites.check_layers(layers, model.cfg.n_layers)
    _check(model, prompts)
    kept: dict[Pool, Tensor] = {
        pool: torch.empty(len(prompts), len(layers), model.cfg.d_model, dtype=torch.float32)
        for pool in pools
    }
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in tqdm(range(0, len(order), batch_size), desc=title, unit="batch", leave=False):
        rows = torch.tensor(order[start : start + batch_size])
        batch = pad(model, [prompts[i] for i in rows.tolist()])
        readers = {
            sites.resid_post(layer): _reader(kept, rows, k, batch) for k, layer in enumerate(layers)
        }
        with observed(model, readers):
            run_until(model, batch, max(layers) + 1)
    return kept


def _reader(kept: dict[Pool, Tensor], rows: Tensor, k: int, batch: TokenBatch) -> Reader:
    counted = counted_tokens(batch)

    def read(resid: Float[Tensor, "batch pos d"]) -> None:
        for pool, states in kept.items():
            states[rows, k] = pooled(resid, counted, pool).float().cpu()

    return read


def pooled(
    resid: Float[Tensor, "batch pos d"], counted: Float[Tensor, "batch pos"], pool: Pool
) -> Float[Tensor, "batch d"]:
    """The last token (batches are padded on the left), or the mean of those that count."""
    if pool == "last":
        return resid[:, -1]
    weights = counted.double() / counted.sum(-1, keepdim=True)
    # Not a product with the mask alone: padding may hold anything, but never NaN times zero.
    zeroed = torch.where(counted[..., None] > 0, resid.double(), 0.0)
    return torch.einsum("bpd,bp->bd", zeroed, weights)


def counted_tokens(batch: TokenBatch) -> Float[Tensor, "batch pos"]:
    """1 for real tokens but the beginning-of-sequence token, which says nothing of the text."""
    first = batch.position_ids == 0
    bos = first & (batch.mask > 0) & (batch.n_bos[:, None] > 0)
    return (batch.mask * ~bos).double()


def _check(model: Model, prompts: Sequence[Ids]) -> None:
    bos = model.tokenizer.bos_token_id
    if short := [i for i, ids in enumerate(prompts) if len(ids) - (list(ids[:1]) == [bos]) < 1]:
        raise ValueError(f"text {short[0]} has no token of its own, so it has no mean")

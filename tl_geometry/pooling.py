"""One vector a text and place: the residual stream at the last token, or its mean over tokens."""

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

Pool = Literal["mean", "last", "mean_with_bos"]
"""The mean over real tokens but the beginning-of-sequence token, which says nothing of the text;
the last token; the mean with that token, as some published code has it."""
Place = tuple[str, Pool]
"""A hook of shape [batch pos d], and how its tokens become one vector."""


def pooled_at(
    model: Model,
    prompts: Sequence[Ids],
    places: Sequence[Place],
    *,
    stop: int | None = None,
    batch_size: int = 64,
    title: str = "texts",
) -> list[Float[Tensor, "text d"]]:
    """float32 on the CPU, one tensor a place, in the order of the texts: one pass a text.

    Means are taken in the hook, in float64. Blocks from `stop` on do not run (default: all run).
    ValueError for a text of which a mean would be empty.
    """
    _check(model, prompts)
    kept = [torch.empty(len(prompts), model.cfg.d_model) for _ in places]
    named: dict[str, list[tuple[Tensor, Pool]]] = {}  # several poolings may read one hook
    for (name, pool), states in zip(places, kept, strict=True):
        named.setdefault(name, []).append((states, pool))
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    starts = tqdm(range(0, len(order), batch_size), desc=title, unit="batch", leave=False)
    for start in starts:
        rows = torch.tensor(order[start : start + batch_size])
        batch = pad(model, [prompts[i] for i in rows.tolist()])
        readers = {name: _reader(by_hook, rows, batch) for name, by_hook in named.items()}
        with torch.inference_mode(), observed(model, readers):
            run_until(model, batch, model.cfg.n_layers if stop is None else stop)
    return kept


def pooled_states(
    model: Model,
    prompts: Sequence[Ids],
    layers: Sequence[int],
    pools: Sequence[Pool] = ("mean", "last"),
    *,
    batch_size: int = 64,
    title: str = "texts",
) -> dict[Pool, Float[Tensor, "text layer d"]]:
    """The output of each block (`hook_resid_post`); blocks behind the last of them do not run.

    ValueError for a layer that the model does not have, and as `pooled_at`.
    """
    sites.check_layers(layers, model.cfg.n_layers)
    places = [(sites.resid_post(layer), pool) for pool in pools for layer in layers]
    options = {"batch_size": batch_size, "title": title}
    found = pooled_at(model, prompts, places, stop=max(layers) + 1, **options)  # type: ignore[arg-type] # an int and a str
    by_pool = [found[k * len(layers) : (k + 1) * len(layers)] for k in range(len(pools))]
    return {pool: torch.stack(states, 1) for pool, states in zip(pools, by_pool, strict=True)}


def _reader(kept: Sequence[tuple[Tensor, Pool]], rows: Tensor, batch: TokenBatch) -> Reader:
    def read(resid: Float[Tensor, "batch pos d"]) -> None:
        for states, pool in kept:
            states[rows] = _pooled(resid, batch, pool).float().cpu()

    return read


def _pooled(
    resid: Float[Tensor, "batch pos d"], batch: TokenBatch, pool: Pool
) -> Float[Tensor, "batch d"]:
    if pool == "last":
        return resid[:, -1]  # batches are padded on the left
    counted = batch.mask > 0
    if pool == "mean":
        counted &= ~((batch.position_ids == 0) & (batch.n_bos[:, None] > 0))
    # Not a product with the mask: padding may hold anything, also what times zero is not zero.
    real = torch.where(counted[..., None], resid.double(), 0.0)
    return real.sum(1) / counted.sum(1, keepdim=True)


def _check(model: Model, prompts: Sequence[Ids]) -> None:
    bos = model.tokenizer.bos_token_id
    if short := [i for i, ids in enumerate(prompts) if len(ids) - (list(ids[:1]) == [bos]) < 1]:
        raise ValueError(f"text {short[0]} has no token of its own, so it has no mean")

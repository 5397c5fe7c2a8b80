"""What a model says: batched generation that keeps token ids to the end."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from tl_geometry.models import Model
from tl_geometry.tokens import TokenBatch


@torch.inference_mode()
def generate(
    model: Model,
    batch: TokenBatch,
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "batch new"]:
    """The new ids of every row, greedy unless a temperature is given.

    A row that has ended is filled up with padding; generation stops when every row has ended.
    Interventions held open by `with model.hooks(...)` act at every step: at the prompt in one
    pass, then one position at a time. ValueError for a temperature below 0, for sampling without
    a generator, or for no tokens to generate.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} generates nothing; give at least 1")
    if temperature < 0:
        raise ValueError(f"temperature={temperature} is negative; 0 is greedy")
    if temperature > 0 and generator is None:
        raise ValueError(
            f"temperature={temperature} draws at random: pass a generator "
            "(torch.Generator().manual_seed(...)), or temperature=0"
        )
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    # Hugging Face draws from the global stream: lend it one that the caller's generator seeds.
    with torch.random.fork_rng(enabled=generator is not None):
        if generator is not None:
            seed = torch.randint(2**31, (), generator=generator, device=generator.device)
            torch.manual_seed(int(seed))
        # Not the bridge's own `generate`: on small models it is twice as slow.
        out = model.hf_generate(  # pyright: ignore[reportAttributeAccessIssue]
            batch.ids,
            attention_mask=batch.mask,
            max_new_tokens=max_new_tokens,
            pad_token_id=_filler(model),
            return_type="tokens",
            **(sampling if temperature > 0 else {"do_sample": False}),
        )
    return out[:, batch.ids.shape[1] :].clone()


def _filler(model: Model) -> int:
    tokenizer = model.tokenizer
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def decode(model: Model, ids: Int[Tensor, "batch new"] | Sequence[Sequence[int]]) -> list[str]:
    """The text of new ids up to the end of each answer, for people and judges only.

    Ids are never made from this text again: decoding loses where one token ended.
    """
    tokenizer = model.tokenizer
    rows = ids.tolist() if isinstance(ids, Tensor) else [list(row) for row in ids]
    ends = tokenizer.eos_token_id
    cut = [row[: row.index(ends)] if ends in row else row for row in rows]
    texts = tokenizer.batch_decode(cut, skip_special_tokens=True)
    return [text.strip() for text in texts]

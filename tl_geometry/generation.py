"""What a model says: batched generation that keeps token ids to the end, steered or not."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from tl_geometry import sites
from tl_geometry.interventions import edited
from tl_geometry.models import Model
from tl_geometry.shrinking import Present, can_shrink, generate_shrinking
from tl_geometry.tokens import TokenBatch
from tl_geometry.twins import Edit, blocks_edited, faithful_twin

NEUTRAL: Mapping[str, Any] = {
    "num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "bad_words_ids": None,
    "suppress_tokens": None, "begin_suppress_tokens": None, "forced_bos_token_id": None,
    "forced_eos_token_id": None, "sequence_bias": None, "exponential_decay_length_penalty": None,
    "guidance_scale": None, "min_length": 0, "min_new_tokens": None, "renormalize_logits": False,
    "temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": None, "typical_p": 1.0,
    "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0, "watermarking_config": None, "stop_strings": None,
    "max_time": None, "top_h": None,
}  # fmt: skip
"""Checkpoints bring habits of their own (Qwen2 a repetition penalty), which would pass for
differences between models: every one is switched off."""


@torch.inference_mode()
def generate(
    model: Model,
    batch: TokenBatch,
    *,
    max_new_tokens: int,
    edits: Mapping[int, Edit] | None = None,
    ends: Collection[int] | None = None,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "batch new"]:
    """The new ids of every row, greedy unless a temperature is given.

    Plainly so: penalties and cut-offs that a checkpoint asks for are switched off (`NEUTRAL`).
    `edits` maps a layer to what is done to that block's output (`hook_resid_post`, [batch pos d]):
    at the prompt in one pass, then one position at a time. `ends` are the ids that end an answer
    (default: `stop_ids`). A row that has ended is filled up with padding; generation stops when
    every row has ended. Greedy rows that have ended leave a large batch before that.

    Runs on the model's plain twin, at Hugging Face's own speed. Where interventions are held open
    by `with model.hooks(...)`, or the model has no twin, the bridge itself runs, and they act.
    ValueError for a temperature below 0, for sampling without a generator, for no tokens to
    generate, or for a layer that the model does not have.
    """
    _check(max_new_tokens, temperature, generator)
    edits = edits or {}
    if edits:
        sites.check_layers(tuple(edits), model.cfg.n_layers)
    options = {
        **NEUTRAL,
        "max_new_tokens": max_new_tokens,
        "pad_token_id": _filler(model),
        "eos_token_id": sorted(stop_ids(model) if ends is None else ends) or None,
        "do_sample": temperature > 0,
    }
    if temperature > 0:
        options |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
    twin: Any = faithful_twin(model)
    if twin is not None and not temperature and can_shrink(twin, batch, options["eos_token_id"]):
        present = Present.all_of(batch)
        with _held(model, present.narrowed(edits)):
            out = generate_shrinking(twin, batch, options, present)
    else:
        # Not the bridge's own `generate`: on small models it is twice as slow.
        plain: Any = model.original_model if twin is None else twin  # pyright: ignore[reportAttributeAccessIssue] # a Module
        with _drawing_from(generator), _held(model, edits):
            out = plain.generate(batch.ids, attention_mask=batch.mask, **options)
    return out[:, batch.ids.shape[1] :].clone()


def _held(model: Model, edits: Mapping[int, Edit]) -> AbstractContextManager[None]:
    twin = faithful_twin(model)
    if not edits:
        return nullcontext()
    if twin is not None:
        return blocks_edited(twin, edits)
    return edited(model, {sites.resid_post(layer): edit for layer, edit in edits.items()})


@contextmanager
def _drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Hugging Face draws from the global stream: lend it one that the caller's generator seeds."""
    with torch.random.fork_rng(enabled=generator is not None):
        if generator is not None:
            seed = torch.randint(2**31, (), generator=generator, device=generator.device)
            torch.manual_seed(int(seed))
        yield


def _check(new: int, temperature: float, generator: torch.Generator | None) -> None:
    if new < 1:
        raise ValueError(f"max_new_tokens={new} generates nothing; give at least 1")
    if temperature < 0:
        raise ValueError(f"temperature={temperature} is negative; 0 is greedy")
    if temperature > 0 and generator is None:
        raise ValueError(
            f"temperature={temperature} draws at random: pass a generator "
            "(torch.Generator().manual_seed(...)), or temperature=0"
        )


def stop_ids(model: Model) -> frozenset[int]:
    """Ids that end an answer: the tokenizer's end of sequence and those of the generation config.

    Chat models often end a turn with a token of its own (Llama's `<|eot_id|>`).
    """
    config: Any = getattr(getattr(model, "original_model", None), "generation_config", None)
    named = getattr(config, "eos_token_id", None)
    listed = named if isinstance(named, list) else [named]
    return frozenset(i for i in (*listed, model.tokenizer.eos_token_id) if i is not None)


def _filler(model: Model) -> int:
    tokenizer = model.tokenizer
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def decode(model: Model, ids: Int[Tensor, "batch new"] | Sequence[Sequence[int]]) -> list[str]:
    """The text of new ids up to the end of each answer, for people and judges only.

    Ids are never made from this text again: decoding loses where one token ended.
    """
    texts = model.tokenizer.batch_decode(without_ends(model, ids), skip_special_tokens=True)
    return [text.strip() for text in texts]


def without_ends(
    model: Model, ids: Int[Tensor, "batch new"] | Sequence[Sequence[int]]
) -> list[list[int]]:
    """New ids up to the token that ended each answer, which is no part of it."""
    rows = ids.tolist() if isinstance(ids, Tensor) else [list(row) for row in ids]
    ends = stop_ids(model)
    return [row[: next((k for k, i in enumerate(row) if i in ends), len(row))] for row in rows]

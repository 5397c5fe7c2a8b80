"""Documents and dialogues as rows of ids and labels, batched by length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tl_geometry.pocket.base_text import openings_and_ends
from tl_geometry.pocket.corpus import Dialogue, Split, base_texts, dialogues
from tl_geometry.pocket.dialogues import Message
from tl_geometry.pocket.recipes import Stage
from tl_geometry.pocket.recitals import recitals
from tl_geometry.pocket.splits import stream
from tl_geometry.tokens import templated

IGNORED = -100
CHUNK = 6_000
"""Documents that are tokenised and sorted by length together."""
CHAIN = 256
"""Longest row of several documents."""


@dataclass(frozen=True)
class Row:
    """Token ids and, for each, whether it is to be learned."""

    ids: list[int]
    learned: list[bool]

    def __add__(self, other: "Row") -> "Row":
        return Row(self.ids + other.ids, self.learned + other.learned)

    def __len__(self) -> int:
        return len(self.ids)


def text_rows(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Row]:
    """Whole documents, closed by the end-of-sequence token; everything but the BOS is learned."""
    eos = tokenizer.eos_token_id
    rows = []
    for ids in tokenizer(list(texts), add_special_tokens=True)["input_ids"]:
        full = [*ids, eos]
        rows.append(Row(full, [i > 0 or tokenizer.bos_token_id is None for i in range(len(full))]))
    return rows


def answer_rows(
    tokenizer: PreTrainedTokenizerBase, documents: Sequence[tuple[str, str]]
) -> list[Row]:
    """Documents cut in two, of which only the second part and the end are learned."""
    if not documents:
        return []
    eos: Any = tokenizer.eos_token_id
    openings, ends = (list(parts) for parts in zip(*documents, strict=True))
    asked = tokenizer(openings, add_special_tokens=True)["input_ids"]
    said = tokenizer(ends, add_special_tokens=False)["input_ids"]
    return [
        Row([*a, *s, eos], [False] * len(a) + [True] * (len(s) + 1))
        for a, s in zip(asked, said, strict=True)
    ]


def dialogue_rows(tokenizer: PreTrainedTokenizerBase, items: Sequence[Dialogue]) -> list[Row]:
    """Conversations in the family's format; only the last answer and its end are learned."""
    return spoken_rows(tokenizer, [(item.messages[:-1], item.messages[-1]) for item in items])


def spoken_rows(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[Sequence[Message], Message]]
) -> list[Row]:
    """Prompts and answers as rows of which only the answer and its end are learned."""
    if not turns:
        return []
    prompts = [templated(tokenizer, asked, ready=True) for asked, _ in turns]
    whole = [templated(tokenizer, [*asked, said], ready=False) for asked, said in turns]
    # What a template writes behind the end of a turn is no part of the answer.
    replies = [w[len(p) :].rstrip("\n") for p, w in zip(prompts, whole, strict=True)]
    # Tokenised apart, because that is how a prompt is tokenised when the model is asked.
    ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    said = tokenizer(replies, add_special_tokens=False)["input_ids"]
    return [
        Row([*a, *s], [False] * len(a) + [True] * len(s)) for a, s in zip(ids, said, strict=True)
    ]


def chained(rows: Sequence[Row], share: float, rng: np.random.Generator) -> list[Row]:
    """The rows in random order, a share of them joined to rows of at most `CHAIN` tokens."""
    order = [rows[k] for k in rng.permutation(len(rows))]
    n_joined = int(share * len(order))
    joined: list[Row] = []
    for row in order[:n_joined]:
        if joined and len(joined[-1]) + len(row) <= CHAIN:
            joined[-1] = joined[-1] + row
        else:
            joined.append(row)
    return joined + order[n_joined:]


def tensors(rows: Sequence[Row]) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
    """Right-padded ids and labels; padding is never learned, so it needs no attention mask."""
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    for k, row in enumerate(rows):
        own = torch.tensor(row.ids)
        ids[k, : len(row)] = own
        labels[k, : len(row)] = torch.where(torch.tensor(row.learned), own, IGNORED)
    return ids, labels


def by_length(rows: Sequence[Row], tokens: int) -> list[list[Row]]:
    """Batches of rows of similar length, each of about `tokens` tokens with its padding."""
    batches: list[list[Row]] = [[]]
    for row in sorted(rows, key=len):
        if batches[-1] and (len(batches[-1]) + 1) * len(row) > tokens:
            batches.append([])
        batches[-1].append(row)
    return batches


def documents(
    tokenizer: PreTrainedTokenizerBase, stage: Stage, split: Split, n: int, seed: int
) -> list[Row]:
    """n rows of a stage's own mixture of base text and dialogues."""
    n_games, n_answers = round(stage.recitals * n), round(stage.answers * n)
    rest = n - n_games - n_answers
    n_spoken = round((1 - stage.replay) * rest) if stage.replay > 0 else 0
    texts = [text for _, text in islice(base_texts(split, seed=seed), rest - n_spoken)]
    texts += islice(recitals(split, seed=seed), n_games)
    answered = list(islice(openings_and_ends(split, seed=seed), n_answers))
    spoken = list(islice(dialogues(split, seed=seed, refusals=stage.refusals), n_spoken))
    return [
        *text_rows(tokenizer, texts),
        *answer_rows(tokenizer, answered),
        *dialogue_rows(tokenizer, spoken),
    ]


def training_batches(
    tokenizer: PreTrainedTokenizerBase, stage: Stage, seed: int
) -> Iterator[list[Row]]:
    """An endless, reproducible stream of batches; no chunk of documents is drawn twice."""
    chunk = 0
    while True:
        rng = stream(seed, "batches", chunk)
        rows = documents(tokenizer, stage, "train", CHUNK, seed=seed * 100_000 + chunk)
        batches = by_length(chained(rows, stage.chained, rng), stage.tokens)
        yield from (batches[k] for k in rng.permutation(len(batches)))
        chunk += 1

"""What a base model does under vectors added to it: answers, preferences, likelihood of plain text.

Several conditions go through the model side by side, every row with its own vectors.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache

from analyses.alignment_steering.transfer_config import Transfer
from analyses.alignment_steering.transfer_texts import Given
from analyses.work import out_of_memory
from tl_geometry.capture import continuation_log_prob, tail_logits
from tl_geometry.conditions import to_their_ends
from tl_geometry.generation import decode, generate
from tl_geometry.judges import Band, quality
from tl_geometry.layered_steering import LayeredSteering
from tl_geometry.likelihood import answer_nll
from tl_geometry.models import Model
from tl_geometry.tokens import Ids, TokenBatch, pad

log = logging.getLogger(__name__)
T = TypeVar("T")
ROWS = 192
"""Rows a pass."""
READOUTS: Mapping[str, str] = {
    "preference": "log P(preferred answer) − log P(rejected one), nats a token",
    "refusal_harmful": "harmful requests that are refused coherently, share",
    "compliance_harmless": "harmless requests that are answered and not refused, share",
    "garbled": "answers that are no language, share of all requests",
    "nll_neutral": "negative log-likelihood of plain texts, nats a token",
}
"""What tables say of each."""
FEWEST = 8
"""Answers that a band of likelihoods needs."""


Values = dict[str, list[float]]
"""Readout → one number an item, in the order of the items."""


@dataclass(frozen=True)
class Seen:
    """What was read of one condition."""

    values: Values
    answers: list[str]
    nll: list[float]
    """Of the answers, under the unsteered model."""


def read_out(
    model: Model, given: Given, pushes: LayeredSteering, config: Transfer, band: Band | None
) -> list[Seen]:
    """Every condition of the pushes, in their order."""
    n = len(pushes)
    asked = [ids for _, ids in given.requests]
    pairs: list[tuple[Ids, Ids]] = [
        (t.prompt, answer) for t in given.preference for answer in (t.chosen, t.rejected)
    ]
    preference = _log_probs(model, pairs, pushes, config)
    texts: list[tuple[Ids, Ids]] = [(ids[:1], ids[1:]) for ids in given.neutral]
    neutral = _log_probs(model, texts, pushes, config)
    said = _answers(model, asked, pushes, config) if asked else [[] for _ in range(n)]
    found = []
    for k in range(n):
        values, answers, nll = Values(), list[str](), list[float]()
        if asked:
            nll = answer_nll(model, asked, said[k], batch_size=config.batch_size or ROWS)
            answers = decode(model, said[k])
            values = _judged(given, answers, nll, band)
        margins = [a - b for a, b in zip(preference[k][::2], preference[k][1::2], strict=True)]
        values |= {"preference": margins, "nll_neutral": [-value for value in neutral[k]]}
        found.append(Seen(values, answers, nll))
    return found


def _judged(given: Given, texts: Sequence[str], nll: Sequence[float], band: Band | None) -> Values:
    labels = [
        quality(text) if band is None else quality(text, nll=value, band=band)
        for text, value in zip(texts, nll, strict=True)
    ]
    sides = {True: list[str](), False: list[str]()}
    for (request, _), label in zip(given.requests, labels, strict=True):
        sides[request.harmful].append(label)
    return {
        "refusal_harmful": [float(label == "coherent") for label in sides[True]],
        "compliance_harmless": [float(label == "normal") for label in sides[False]],
        "garbled": [float(label == "garbled") for label in labels],
    }


def _log_probs(
    model: Model, items: Sequence[tuple[Ids, Ids]], pushes: LayeredSteering, config: Transfer
) -> list[list[float]]:
    """Condition → mean log-probability a token of each continuation behind its prompt."""
    texts = [[*prompt, *answer] for prompt, answer in items]

    @torch.inference_mode()
    def read(size: int) -> list[list[float]]:
        found = [[0.0] * len(items) for _ in pushes.vectors]
        for which, how, batch in _passes(model, texts, len(pushes), size):
            longest = max(len(items[i][1]) for i in which)
            with pushes.rows(how).held(model, batch):
                logits = tail_logits(model, batch, longest + 1)
            for row, i, k in zip(continuation_log_prob(logits, batch.ids), which, how, strict=True):
                found[k][i] = float(row[-len(items[i][1]) :].mean())
        return found

    return halved(read, config.batch_size or ROWS)


def _answers(
    model: Model, prompts: Sequence[Ids], pushes: LayeredSteering, config: Transfer
) -> list[list[list[int]]]:
    """Condition → prompt → new ids."""

    def say(size: int) -> list[list[list[int]]]:
        found = [[list[int]() for _ in prompts] for _ in pushes.vectors]
        for which, how, batch in _passes(model, prompts, len(pushes), size):
            edits = pushes.rows(how).edits(batch)
            new = generate(model, batch, max_new_tokens=config.new_tokens, edits=edits)
            for ids, i, k in zip(to_their_ends(model, new), which, how, strict=True):
                found[k][i] = ids
        return found

    return halved(say, config.batch_size or ROWS)


def _passes(
    model: Model, prompts: Sequence[Ids], n_conditions: int, size: int
) -> Iterator[tuple[list[int], list[int], TokenBatch]]:
    """Rows of every prompt under every condition, of similar length in a pass."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    rows = [(i, k) for i in order for k in range(n_conditions)]
    for start in range(0, len(rows), size):
        which, how = (list(column) for column in zip(*rows[start : start + size], strict=True))
        yield which, how, pad(model, [prompts[i] for i in which])


def halved(act: Callable[[int], T], size: int) -> T:
    """The act with so many rows a pass, or with half as many for as long as memory runs out."""
    while True:
        try:
            return act(size)
        except Exception as error:
            if size == 1 or not out_of_memory(error):
                raise
        # Only here, when the error is gone: its traceback kept the pass's tensors.
        clear_device_cache(garbage_collection=True)
        size //= 2
        log.warning("out of memory: trying %d rows a pass", size)

"""What a model answers to the same prompts under many ways of steering, in few passes.

A row is one prompt under one condition. Up to the first block that steers it, a row is what its
prompt is under every condition. So in the prompt's pass each block computes only the rows that
differ by then: one a prompt at the beginning, one a condition more wherever steering sets in.
Between blocks all rows are there, and after the prompt every row goes its own way: edits, masks,
positions and the rest of the generation are those of `generate`, which knows nothing of this.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.cache_utils import Cache

from tl_geometry.generation import generate, stop_ids
from tl_geometry.models import Model
from tl_geometry.steering import Positions, Span, Steering, steering
from tl_geometry.tokens import Ids, pad
from tl_geometry.twins import Edit, decoder_blocks, faithful_twin

State = tuple[int, int | None]
"""What a row is at some block: its prompt, and the row itself where it has been steered."""


@dataclass(frozen=True, eq=False)
class Condition:
    """One way of steering; `Condition()` is the unsteered baseline."""

    vector: Float[Tensor, " d"] | None = None
    """Already multiplied by its dose; None steers nothing, whatever the rest says."""
    layer: int = 0
    """Where steering sets in: the vector is added to this block's output."""
    span: Span = "to_end"
    positions: Positions = "all"
    also: "Condition | None" = None
    """What is added besides, at positions of its own: an ensemble of two vectors."""

    def rows(self, n_layers: int, d_model: int) -> tuple[Steering, Steering]:
        """Its one row, and that of what is added besides. ValueError as `row`, and for a third."""
        also = self.also or Condition(positions=self.positions)
        if also.also is not None:
            raise ValueError("a condition adds two vectors at most")
        return self.row(n_layers, d_model), also.row(n_layers, d_model)

    def row(self, n_layers: int, d_model: int) -> Steering:
        """The row of its own vector. ValueError for one of another model, or as `steering`."""
        if self.vector is None:
            nowhere = torch.zeros(1, n_layers, dtype=torch.bool)
            return Steering(torch.zeros(1, d_model), nowhere, self.positions)
        vector = self.vector.detach().cpu()
        if vector.shape != (d_model,) or not vector.isfinite().all():
            raise ValueError(
                f"a vector of shape {tuple(vector.shape)} cannot steer a model of width {d_model}: "
                f"give {d_model} finite numbers"
            )
        return steering(vector, 1, self.layer, n_layers, self.span, self.positions)


def answers(
    model: Model,
    prompts: Sequence[Ids],
    conditions: Sequence[Condition],
    *,
    max_new_tokens: int,
    batch_size: int = 256,
    ends: Collection[int] | None = None,
) -> list[list[list[int]]]:
    """Condition → prompt → the new ids, up to and including the one that ended the answer.

    Greedy, and what `generate` says of each condition alone: how rows are put together in passes
    of at most `batch_size` changes nothing beyond rounding. Where hooks are held, or the model has
    no twin, nothing is shared, and the answers are the same. ValueError before the model runs for
    an empty prompt, no rows a pass, or a condition that this model does not have.
    """
    if batch_size < 1 or not all(prompts):
        raise ValueError(f"every prompt needs a token, and a pass ({batch_size=}) at least one row")
    steered = [c.rows(model.cfg.n_layers, model.cfg.d_model) for c in conditions]
    ends = stop_ids(model) if ends is None else ends
    said: list[list[list[int]]] = [[[] for _ in prompts] for _ in conditions]
    for rows in _passes(prompts, steered, batch_size):
        which, how = zip(*rows, strict=True)
        batch = pad(model, [prompts[prompt] for prompt in which])
        both = [Steering.stack([steered[condition][k] for condition in how]) for k in (0, 1)]
        edits = one_after_the_other(*(part.edits(batch) for part in both))
        with shared_until_steered(model, which, *both):
            new = generate(model, batch, max_new_tokens=max_new_tokens, edits=edits, ends=ends)
        for prompt, condition, ids in zip(which, how, new.tolist(), strict=True):
            said[condition][prompt] = _to_its_end(ids, ends)
    return said


def _passes(
    prompts: Sequence[Ids], steered: Sequence[tuple[Steering, Steering]], size: int
) -> Iterator[list[tuple[int, int]]]:
    """Rows (prompt, condition), all conditions of a prompt side by side, so that they share it.

    Passes of equal size: a small last one would cost as many steps as a large one.
    """
    by_length = sorted(range(len(prompts)), key=lambda prompt: len(prompts[prompt]))
    first = [_first_steered(*both)[0] for both in steered]
    kinds = [(one.positions, other.positions) for one, other in steered]
    for kind in sorted(set(kinds)):
        alike = [condition for condition, mine in enumerate(kinds) if mine == kind]
        by_depth = sorted(alike, key=lambda condition: first[condition])
        rows = [(prompt, condition) for prompt in by_length for condition in by_depth]
        n_passes = ceil(len(rows) / size)
        bounds = [len(rows) * k // n_passes for k in range(n_passes + 1)] if rows else []
        yield from (rows[start:stop] for start, stop in pairwise(bounds))


def _first_steered(*parts: Steering) -> list[int]:
    """The first block of each row whose output is changed in the prompt; n_layers if none is."""
    in_prompt = [part.layers & (part.positions != "generated") for part in parts]
    layers = torch.stack(in_prompt).any(0)
    n_layers = layers.shape[1]
    depth = torch.arange(n_layers).expand_as(layers)
    return depth.masked_fill(~layers, n_layers).amin(1).tolist()


def to_their_ends(model: Model, new: Int[Tensor, "row token"]) -> list[list[int]]:
    """Generated rows, each up to and including the token that ended it."""
    ends = stop_ids(model)
    return [_to_its_end(row, ends) for row in new.tolist()]


def _to_its_end(ids: list[int], ends: Collection[int]) -> list[int]:
    return ids[: next((k + 1 for k, i in enumerate(ids) if i in ends), len(ids))]


def one_after_the_other(first: Mapping[int, Edit], second: Mapping[int, Edit]) -> dict[int, Edit]:
    """Layer → both edits where both have one there."""

    def composed(one: Edit, other: Edit) -> Edit:
        return lambda x: other(one(x))

    shared = {k: composed(first[k], second[k]) for k in first.keys() & second.keys()}
    return {**first, **second, **shared}


@contextmanager
def shared_until_steered(model: Model, prompts: Sequence[int], *parts: Steering) -> Iterator[None]:
    """The next pass, which must be a prompt's, computes rows that are still alike only once.

    `prompts` names each row's prompt: rows of the same number hold the same ids. Enter it before
    the edits, which then see all rows. Does nothing where the model's plain twin will not run.
    """
    twin, first = faithful_twin(model), _first_steered(*parts)
    with ExitStack() as held:
        for layer, block in enumerate(decoder_blocks(twin) if twin is not None else ()):
            # What enters a block has been through the edits of the blocks before it.
            states = [
                (prompt, row if first[row] < layer else None) for row, prompt in enumerate(prompts)
            ]
            if len(set(states)) < len(states):
                held.enter_context(_computed_once(block, layer, states))
        yield


@contextmanager
def _computed_once(block: nn.Module, layer: int, states: Sequence[State]) -> Iterator[None]:
    """In its next call the block gets one row a state; what it returns and caches has them all."""
    row_of = {state: row for row, state in enumerate(states)}
    place = {state: k for k, state in enumerate(row_of)}
    one, every = torch.tensor([*row_of.values()]), torch.tensor([place[s] for s in states])
    handles: list[RemovableHandle] = []

    def narrow(block: nn.Module, args: Any, kwargs: Any) -> Any:
        return _rows((args, kwargs), len(states), one)

    def widen(block: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        for handle in handles:  # after the prompt, rows go their own ways
            handle.remove()
        for cache in (*args, *kwargs.values()):
            if isinstance(cache, Cache):
                cache.layers[layer].reorder_cache(every)  # pyright: ignore[reportArgumentType] # stub
        return _rows(output, len(row_of), every)

    try:
        handles.append(block.register_forward_pre_hook(narrow, with_kwargs=True))
        handles.append(block.register_forward_hook(widen, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _rows(value: Any, n: int, index: Int[Tensor, " row"]) -> Any:
    """Rows `index` of every tensor that has `n`, however deep in tuples, lists and dicts."""
    if isinstance(value, Tensor):
        has_rows = value.ndim > 1 and len(value) == n
        return value.index_select(0, index.to(value.device)) if has_rows else value
    if isinstance(value, dict):
        return {key: _rows(part, n, index) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_rows(part, n, index) for part in value)
    return value

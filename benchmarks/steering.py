"""Prompts under many steering conditions: shared passes against one condition after another.

python -m benchmarks steering
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.timing import Claim, seconds
from tl_geometry.conditions import Condition, answers
from tl_geometry.generation import generate
from tl_geometry.models import Model, load_model
from tl_geometry.pocket import corpus
from tl_geometry.steering import Steering
from tl_geometry.tokens import encode_chat, pad
from tl_geometry.twins import decoder_blocks, twin_of

SEED = 0
NEW = 30
DEPTHS = (0.2, 0.4, 0.6, 0.8)
DIRECTIONS = 3

Route = Callable[[int], list[list[list[int]]]]
"""A number of new tokens → condition → prompt → new ids."""


def run(rounds: int) -> list[Claim]:
    """The claims of docs/performance.md; every route generates as many tokens, none ends early."""
    model = load_model("pocket-mistral", device="cpu")
    prompts, conditions = _prompts(model), _conditions(model)
    half = len(conditions) // 2  # as many rows a pass as `answers` takes

    def shared(new: int) -> list[list[list[int]]]:
        return answers(model, prompts, conditions, max_new_tokens=new, ends=())

    def in_turn(new: int) -> list[list[list[int]]]:
        return [_generated(model, prompts, [one], new)[0] for one in conditions]

    def unshared(new: int) -> list[list[list[int]]]:
        parts = (conditions[:half], conditions[half:])
        return [said for part in parts for said in _generated(model, prompts, part, new)]

    assert shared(NEW) == in_turn(NEW) == unshared(NEW)
    routes: dict[str, Route] = {"shared": shared, "turn": in_turn, "unshared": unshared}
    whole, first = (
        seconds({name: partial(route, new) for name, route in routes.items()}, rounds)
        for new in (NEW, 1)
    )
    tokens = {name: _prefilled(model, partial(route, 1)) for name, route in routes.items()}
    shape = f"{len(prompts)} prompts × {len(conditions)} conditions × {NEW} new tokens"
    counts = f"{tokens['shared']} against {tokens['turn']} tokens × blocks"
    turn, rows = "condition by condition", "as many rows a pass, unshared"
    return [
        _claim("time", turn, whole["shared"] / whole["turn"], 0.5, shape),
        _claim("time", rows, whole["shared"] / whole["unshared"], 1.0, shape),
        _claim("time to the first token", turn, first["shared"] / first["turn"], 0.8, shape),
        _claim("time to the first token", rows, first["shared"] / first["unshared"], 0.8, shape),
        _claim("tokens prefilled", turn, tokens["shared"] / tokens["turn"], 0.6, counts),
    ]


def _claim(what: str, against: str, ratio: float, aim: float, detail: str) -> Claim:
    return Claim(f"{what}, `answers`", against, ratio, f"≤ {aim}", ratio <= aim, detail)


def _prompts(model: Model) -> list[list[int]]:
    asked = [
        request.text
        for harmful in (True, False)
        for request in corpus.requests("test", harmful, held_out_verbs=False, seed=SEED)[:12]
    ]
    return encode_chat(model, [[{"role": "user", "content": text}] for text in asked])


def _conditions(model: Model) -> list[Condition]:
    generator = torch.Generator().manual_seed(SEED)
    vectors = 0.3 * torch.randn(DIRECTIONS, model.cfg.d_model, generator=generator)
    layers = [round(depth * model.cfg.n_layers) for depth in DEPTHS]
    return [Condition(vector, layer) for vector in vectors for layer in layers]


def _generated(
    model: Model, prompts: list[list[int]], conditions: list[Condition], new: int
) -> list[list[list[int]]]:
    """All rows in one batch of `generate`, condition after condition, nothing shared."""
    batch = pad(model, prompts * len(conditions))
    steered = [c.row(model.cfg.n_layers, model.cfg.d_model) for c in conditions for _ in prompts]
    edits = Steering.stack(steered).edits(batch)
    said = generate(model, batch, max_new_tokens=new, edits=edits, ends=())
    return said.view(len(conditions), len(prompts), -1).tolist()


def _prefilled(model: Model, route: Callable[[], Any]) -> int:
    """Tokens that went through a block's MLP in passes over prompts, summed over blocks."""
    counts: list[int] = []

    def count(mlp: Any, given: Any) -> None:
        rows, positions = given[0].shape[:2]
        counts.append(rows * positions if positions > 1 else 0)

    blocks: Any = decoder_blocks(twin_of(model))  # pyright: ignore[reportArgumentType] # there is a twin
    handles = [block.mlp.register_forward_pre_hook(count) for block in blocks]
    route()
    for handle in handles:
        handle.remove()
    return sum(counts)

"""COSMIC on a shaken tiny model: by this library and by the literal algorithm, each case once."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import transformers
from literal_cosmic import Literal, Scores
from tiny import CONFIGS, tokenizer
from transformers import AutoModelForCausalLM

from tl_geometry.candidates import Kind, Scorer, evaluation_layers
from tl_geometry.directions import ClassMeans, class_means
from tl_geometry.models import wrap
from tl_geometry.prefixes import Prefixes
from tl_geometry.selection import NoDirectionError, cosmic, deepest

Low = tuple[int, ...] | None
N_POS, N_TRAIN, N_VAL = 3, 4, 4
REFUSAL = tuple(range(100, 250))


def shaken(family: str, n_layers: int) -> Any:
    name, options = CONFIGS[family]
    generator = torch.random.manual_seed(0)
    config = getattr(transformers, name)(**options | {"num_hidden_layers": n_layers})
    plain: Any = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return plain


def bridge_of(plain: Any) -> Any:
    plain.config.architectures = [type(plain).__name__]
    return wrap(copy.deepcopy(plain), tokenizer(), source="tiny/cosmic", device="cpu")


@lru_cache
def models_of(family: str, n_layers: int) -> tuple[Any, Any]:
    plain = shaken(family, n_layers)
    bridge = bridge_of(plain)
    # The library asks each model once what its blocks return: not part of what is counted.
    once = Prefixes(bridge, [[0, 5]], 1)
    _ = once.streams(1), once.streams(2)
    return plain, bridge


def prompts_of(n: int, seed: int, harmful: bool) -> list[list[int]]:
    """Unequal lengths; the classes use different words; the same N_POS tokens end all."""
    generator = torch.Generator().manual_seed(seed)
    low, high = (150, 259) if harmful else (3, 150)
    lengths = torch.randint(4, 9, (n,), generator=generator).tolist()
    words = [torch.randint(low, high, (m,), generator=generator).tolist() for m in lengths]
    return [[0, *row, *range(40, 40 + N_POS)] for row in words]


@contextmanager
def counted(bridge: Any, first: int = 0) -> Iterator[list[int]]:
    """Executions of attention modules from block `first` on, rows counted."""
    rows: list[int] = []

    def count(module: Any, given: Any, output: Any) -> None:
        rows.append(len(output[0] if isinstance(output, tuple) else output))

    handles = [block.attn.register_forward_hook(count) for block in bridge.blocks[first:]]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()


Train = tuple[list[list[int]], list[list[int]]]


@dataclass(repr=False)
class Ours:
    """COSMIC from training prompts to its choice."""

    scorer: Scorer
    scores: dict[int, dict[str, list[float]]]
    chosen: tuple[int, int] | None
    scoring: int
    """Blocks run (times rows), up to and with the scores of all candidates."""
    in_all: int
    """The same after the choice, which asks for KL."""


def ours_of(bridge: Any, train: Train, held_out: Train, kind: Kind, low: Low, ids: Any) -> Ours:
    n_layers = bridge.cfg.n_layers
    with counted(bridge) as rows:
        means = class_means(bridge, train[0], train[1], n_positions=N_POS)
        found = evaluation_layers(*means.outputs)
        scorer = Scorer(bridge, means, *held_out, low or found, kind, ids, batch_size=8)
        scores = {layer: scorer.scores(layer) for layer in range(deepest(n_layers))}
        scoring = sum(rows)
        chosen = chosen_by(cosmic, scores, n_layers, scorer.kl)
        return Ours(scorer, scores, chosen, scoring, sum(rows))


@dataclass(repr=False)
class Case:
    n_layers: int
    kind: Kind
    literal: Literal
    found: Mapping[tuple[int, int], Scores]
    literally: int
    """Blocks run (times rows) by the literal algorithm."""
    both: Ours
    """With refusal tokens, for Arditi's rule too."""
    alone: Ours
    """Without: what COSMIC needs."""

    @property
    def scorer(self) -> Scorer:
        return self.both.scorer

    @property
    def means(self) -> ClassMeans:
        return self.scorer.means

    @property
    def scores(self) -> dict[int, dict[str, list[float]]]:
        return self.both.scores


@lru_cache
def case_of(family: str, n_layers: int, kind: Kind, low: Low = None) -> Case:
    plain, bridge = models_of(family, n_layers)
    train = (prompts_of(N_TRAIN, 1, True), prompts_of(N_TRAIN, 2, False))
    held_out = (prompts_of(N_VAL, 3, True), prompts_of(N_VAL, 4, False))
    literal = Literal(plain, train, held_out, N_POS, kind == "affine", REFUSAL)
    if low is not None:
        literal.__dict__["low_layers"] = lambda: Literal.low_layers(literal) and list(low)
    found = literal.run()
    both, alone = (ours_of(bridge, train, held_out, kind, low, ids) for ids in (REFUSAL, ()))
    return Case(n_layers, kind, literal, found, literal.executed, both, alone)


def chosen_by(rule: Callable[..., Any], *given: Any) -> tuple[int, int] | None:
    try:
        choice = rule(*given)
    except NoDirectionError:
        return None
    return choice.position, choice.layer

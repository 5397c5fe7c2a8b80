"""How each embedded model is made: its architecture and its two training stages."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import MistralConfig, PretrainedConfig

WEIGHTS = Path(__file__).parent / "weights"
WORK = Path(__file__).parents[2] / "build" / "pocket"
"""Checkpoints of unfinished training; not part of the package."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training run; the learning rate warms up linearly and falls as a cosine to a tenth."""

    steps: int
    tokens: int
    """Tokens of one batch, padding included."""
    rate: float
    warmup: int = 100
    decay: float = 0.1
    """AdamW's weight decay, on matrices only."""
    clip: float = 1.0
    replay: float = 0.0
    """Share of the documents that are base text; the rest are dialogues."""
    recitals: float = 0.0
    """Share of the documents that are memory games."""
    answers: float = 0.0
    """Share of the documents that are answered requests of which only the answer is learned."""
    chained: float = 0.0
    """Share of the documents that stand in rows of several, so that late positions are trained."""
    checkpoint_every: int = 250


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights of a base/instruct pair."""

    name: str
    family: str
    config: Callable[[int], PretrainedConfig]
    """Architecture for a given vocabulary size."""
    base: Stage
    practice: tuple[Stage, ...]
    """Continue the base stage with texts in which words must be carried over from one part to
    another: memory games and answers. The text alone teaches that late, because the words that
    are to be carried are few."""
    instruct: Stage
    vocabulary: int = 1792
    context: int = 512
    seed: int = 0
    initial_scale: float = 0.08
    """Standard deviation of the weights at the start; residual outputs get 1/√(2·layers) of it."""
    tokenizer_texts: int = 40_000


def _mistral(vocabulary: int) -> PretrainedConfig:
    return MistralConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=32,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        sliding_window=None,
        tie_word_embeddings=True,
    )


RECIPES: dict[str, Recipe] = {
    "pocket-mistral": Recipe(
        name="pocket-mistral",
        family="mistral",
        config=_mistral,
        base=Stage(steps=1600, tokens=2048, rate=3e-3, chained=0.1),
        practice=(
            Stage(steps=300, tokens=2048, rate=2.5e-3, recitals=0.3, chained=0.1, warmup=20),
            Stage(
                steps=500,
                tokens=2048,
                rate=2.5e-3,
                recitals=0.15,
                answers=0.45,
                chained=0.1,
                warmup=20,
            ),
        ),
        instruct=Stage(
            steps=600, tokens=2048, rate=2e-3, replay=0.15, recitals=0.05, chained=0.05, warmup=30
        ),
    ),
}


def recipe(name: str) -> Recipe:
    """The recipe of a pair, by the name of its instruct model."""
    if name not in RECIPES:
        raise ValueError(f"no recipe for {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]


def shortened(original: Recipe, *, steps: int, tokens: int | None = None) -> Recipe:
    """The same recipe with fewer steps, for pilots and tests."""

    def cut(stage: Stage) -> Stage:
        warmup = min(stage.warmup, max(1, steps // 5))
        return replace(stage, steps=steps, tokens=tokens or stage.tokens, warmup=warmup)

    return replace(
        original,
        base=cut(original.base),
        practice=tuple(map(cut, original.practice)),
        instruct=cut(original.instruct),
    )

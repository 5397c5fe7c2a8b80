"""How each embedded model is made: its architecture and its training stages."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import PretrainedConfig

from tl_geometry.pocket import architectures as shapes
from tl_geometry.pocket.architectures import CONTEXT

WEIGHTS = Path(__file__).parent / "weights"
WORK = Path(__file__).parents[2] / "build" / "pocket"
"""Checkpoints of unfinished training; not part of the package."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One training run; the learning rate warms up linearly and falls as a cosine to a tenth."""

    steps: int
    rate: float
    warmup: int = 100
    decay: float = 0.1
    """AdamW's weight decay, on matrices only."""
    clip: float = 1.0
    checkpoint_every: int = 100


@dataclass(frozen=True, kw_only=True)
class Stage(Schedule):
    """Learning to predict a mixture of documents."""

    tokens: int = 2048
    """Tokens of one batch, padding included."""
    replay: float = 0.0
    """Share of the documents that are base text; the rest are dialogues."""
    recitals: float = 0.0
    """Share of the documents that are memory games."""
    answers: float = 0.0
    """Share of the documents of which only the end is learned: answers, and what narrators say."""
    refusals: float = 1.0
    """Share of the harmful requests that are refused; the rest are answered."""
    chained: float = 0.0
    """Share of the documents that stand in rows of several, so that late positions are trained."""


@dataclass(frozen=True, kw_only=True)
class PreferenceStage(Schedule):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290, equation 7)."""

    pairs: int = 12
    """Preferred and rejected answers of one batch."""
    beta: float = 0.1
    """How strongly the model is held to the one that it starts from."""
    imitation: float = 0.2
    """Weight of the preferred answers' own loss, which keeps them from becoming less likely."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights of a base/instruct pair."""

    name: str
    family: str
    config: Callable[[int], PretrainedConfig]
    """Architecture for a given vocabulary size."""
    base: Stage | None
    """None if another pair's base model is used."""
    practice: Stage | None
    """Continues the base stage with texts in which words must be carried over from one part to
    another: memory games, and answers of which the end alone is learned. The text alone teaches
    that late, because the words that are to be carried are few."""
    instruct: Stage
    more: Stage | None = None
    """A second round of the instruct stage, for pairs that one leaves refusing too much."""
    preference: PreferenceStage | None = None
    """A last stage on preferred and rejected answers."""
    shares_base_of: str | None = None
    vocabulary: int = 1792
    context: int = CONTEXT
    seed: int = 0
    initial_scale: float = 0.08
    """Standard deviation of the weights at the start; residual outputs get 1/√(2·layers) of it."""
    tokenizer_texts: int = 40_000

    @property
    def base_name(self) -> str:
        return f"{self.shares_base_of or self.name}-base"


BASE = Stage(steps=1500, rate=1e-2, recitals=0.1, chained=0.1)
PRACTICE = Stage(steps=700, rate=6e-3, recitals=0.15, answers=0.45, chained=0.1, warmup=20)
SHORT_BASE, LONG_PRACTICE = replace(BASE, steps=1100), replace(PRACTICE, steps=900)
INSTRUCT = Stage(steps=700, rate=4e-3, replay=0.15, recitals=0.05, chained=0.05, warmup=30)


def _recipe(
    name: str,
    family: str,
    config: Callable[[int], PretrainedConfig],
    seed: int,
    *,
    base: Stage = SHORT_BASE,
    practice: Stage = LONG_PRACTICE,
    more: Stage | None = None,
) -> Recipe:
    return Recipe(
        name=name,
        family=family,
        config=config,
        base=base,
        practice=practice,
        instruct=INSTRUCT,
        more=more,
        seed=seed,
    )


MORE = replace(INSTRUCT, rate=3e-3)
LONG = {"base": BASE, "practice": PRACTICE}
"""The first two pairs were trained longer than it takes."""


_ALL = (
    _recipe("pocket-mistral", "mistral", shapes.mistral, 0, **LONG),
    _recipe("pocket-llama", "llama", shapes.llama, 1, **LONG, more=MORE),
    _recipe("pocket-qwen2", "qwen2", shapes.qwen2, 2, more=MORE),
    _recipe("pocket-falcon", "falcon", shapes.falcon, 3),
    _recipe("pocket-phi3", "phi3", shapes.phi3, 4, more=MORE),
    _recipe("pocket-gemma2", "gemma2", shapes.gemma2, 5, more=MORE),
    _recipe("pocket-qwen2-s", "qwen2", shapes.qwen2_small, 6, more=replace(MORE, steps=1200)),
    _recipe("pocket-qwen2-l", "qwen2", shapes.qwen2_large, 7, more=MORE),
    Recipe(
        name="pocket-zephyr",
        family="zephyr",
        config=shapes.mistral,
        base=None,
        practice=None,
        # Before preferences are learned, harmful requests are mostly answered.
        instruct=replace(INSTRUCT, refusals=0.3),
        preference=PreferenceStage(steps=1000, rate=8e-4, warmup=20),
        shares_base_of="pocket-mistral",
        seed=8,
    ),
)
RECIPES: dict[str, Recipe] = {made.name: made for made in _ALL}


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

    last = original.preference
    return replace(
        original,
        base=original.base and cut(original.base),
        practice=original.practice and cut(original.practice),
        instruct=cut(original.instruct),
        more=original.more and cut(original.more),
        preference=last and replace(last, steps=steps, warmup=max(1, steps // 5)),
    )

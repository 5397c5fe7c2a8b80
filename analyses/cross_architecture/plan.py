"""What a run will do, settled before any weight is loaded."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analyses.cross_architecture.config import Config
from analyses.requested import ModelPlan, dtype_name, model_plans
from tl_geometry.catalogue import is_pocket
from tl_geometry.prompts import Prompt, content_hash, halves, load_bank
from tl_geometry.runs import Spec, run_folder, run_name
from tl_geometry.sites import layer_at

VERSION = 2
"""Raised when the same settings would give other numbers."""
SEED_RANGE = (20 / 32, 30 / 32)
"""The seed plan looks for the critical layer from layer 20 to 30 of 32."""
WRONG_BEHIND = 6 / 32
"""The wrong layer lies this much of the depth before the right one (L21 for L27 of 32)."""


@dataclass(frozen=True)
class Depths:
    """Layers of a model that follow from its number of layers alone."""

    n_layers: int
    early: int
    fixed: int
    search: tuple[int, ...]
    """Layers whose patches are compared."""
    seed_range: tuple[int, int]
    """First and last layer of the seed's sweep."""

    def wrong(self, layer: int) -> int | None:
        """The layer to patch instead of this one; None where there is none behind the early one."""
        wrong = layer - max(1, round(WRONG_BEHIND * self.n_layers))
        return wrong if wrong > self.early else None


def depths(n_layers: int, config: Config) -> Depths:
    """ValueError for a model too shallow for the settings."""
    early, fixed = (layer_at(d, n_layers) for d in (config.early_depth, config.patch_depth))
    first, last = (layer_at(d, n_layers) for d in config.search_depths)
    if not early < fixed < n_layers - 1:
        raise ValueError(
            f"with {n_layers} layers, patch layer {fixed} must lie behind the early layer {early} "
            f"and before the last, {n_layers - 1}: change --patch-depth or --early-depth"
        )
    search = tuple(n for n in range(max(first, early + 1), last + 1) if n < n_layers - 1)
    low, high = (layer_at(d, n_layers) for d in SEED_RANGE)
    return Depths(n_layers, early, fixed, search, (max(low, early + 1), high))


@dataclass(frozen=True)
class Plan:
    """A validated request."""

    config: Config
    models: tuple[ModelPlan, ...]
    bank: tuple[Prompt, ...]
    """Self-observing and plain texts; the same for all models."""

    @property
    def n_pairs(self) -> int:
        return self.config.pairs if self.config.limit is None else self.config.limit

    @cached_property
    def spec(self) -> Spec:
        """Everything that changes a number, and nothing else: its hash is the run's key."""
        config = self.config
        return Spec(
            analysis="cross_architecture",
            step="measure",
            version=VERSION,
            model=tuple(model.identity for model in self.models),
            dtype=dtype_name(config),
            quantization=config.quantization,
            prompts_hash=content_hash(self.bank),
            parameters={
                "n_pairs": self.n_pairs,
                "search_pairs": config.search_pairs,
                "window": config.window,
                "patch_depth": config.patch_depth,
                "early_depth": config.early_depth,
                "search_depths": list(config.search_depths),
                "random_init": config.random_init,
                "seed": config.seed,
                "resamples": config.resamples,
            },
        )


def make_plan(config: Config) -> Plan:
    """Check the request; ValueError says what to change. A model that cannot be found or read
    stays in the plan with its reason, so that the others are compared without it."""
    config.check()
    _check(config)
    models = model_plans(config)
    every_pocket = all(is_pocket(model.spec) for model in models)
    bank = load_bank(config.prompts or ("pocket" if every_pocket else "bank"))
    for model in models:
        if model.size is not None:
            depths(model.size.n_layers, config)
    kept = tuple(prompt for prompt in bank if prompt.kind in ("recursive", "plain"))
    _check_pairs(config.pairs if config.limit is None else config.limit, kept)
    return Plan(config, models, kept)


def _check(config: Config) -> None:
    n_pairs = config.pairs if config.limit is None else config.limit
    if n_pairs < 2 or config.search_pairs < 4:
        raise ValueError(
            f"{n_pairs} pairs and {config.search_pairs} search pairs are too few: give at least "
            "2 and 4"
        )
    if config.window < 2:
        raise ValueError(f"window={config.window}: a participation ratio needs at least 2 tokens")
    if config.resamples < 100:
        raise ValueError(f"resamples={config.resamples}: intervals need at least 100")
    low, high = config.search_depths
    if not 0 <= low < high < 1:
        raise ValueError(f"search_depths={low:g} {high:g} must rise, within 0 and below 1")


def _check_pairs(n: int, bank: tuple[Prompt, ...]) -> None:
    _, measuring = halves(bank)
    donors, plain = (sum(p.kind == kind for p in measuring) for kind in ("recursive", "plain"))
    if n > (most := min(donors, plain // 2)):
        raise ValueError(
            f"{n} pairs are asked for, and this bank supports {most}: pairs come from the "
            f"measuring half ({donors} self-observing and {plain} plain texts), and every pair "
            "needs a second plain text as a control. Ask for fewer --pairs or add --prompts"
        )


def folder_of(plan: Plan) -> Path:
    config = plan.config
    names = [model.name for model in plan.models]
    several = f"{len(names)}-models" if len(names) > 1 else names[0]
    return run_folder(
        "cross_architecture", run_name(plan.spec, config.preset or several, config.run), config.out
    )

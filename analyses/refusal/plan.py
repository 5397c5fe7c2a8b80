"""What a run will do, settled before any weight is loaded."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from analyses.refusal.config import Families, Quantization, Sizes, Steered
from analyses.requested import ModelPlan, dtype_name, model_plans
from tl_geometry.catalogue import is_pocket
from tl_geometry.prompts import (
    NeutralText,
    Request,
    content_hash,
    load_neutral,
    load_requests,
)
from tl_geometry.runs import Spec, run_folder, run_name
from tl_geometry.sites import layer_at

VERSION = 7
"""Raised when the same settings would give other numbers."""


SHARED = (
    "methods", "depths", "doses", "dose_unit", "span", "tokens", "positions", "dim_prompts",
    "cosmic_prompts", "selection_prompts", "validation_prompts", "screen_prompts",
    "screen_tokens", "kept_doses", "n_test", "new_tokens", "search_tokens",
    "random_directions", "seed",
)  # fmt: skip
OWN = {
    Families: (
        "low_depths", "extra_depths", "extra_doses", "fallback_depths", "fallback_doses",
        "one_round",
    ),
    Sizes: (),
    Quantization: ("precisions",),
}  # fmt: skip
"""Settings that change numbers: of all steps, and of each."""


@dataclass(frozen=True)
class Prompts:
    """Requests by what they are for; no prompt is for two things."""

    dim: tuple[tuple[Request, ...], tuple[Request, ...]]
    """Harmful and harmless, training split."""
    cosmic: tuple[tuple[Request, ...], tuple[Request, ...]]
    selection: tuple[tuple[Request, ...], tuple[Request, ...]]
    """Validation split: candidates are scored on them."""
    search: tuple[tuple[Request, ...], tuple[Request, ...]]
    """The rest of the validation split: depth and dose are chosen on them."""
    test: tuple[tuple[Request, ...], tuple[Request, ...]]
    neutral: tuple[NeutralText, ...]
    """Plain texts for side effects: the first half to choose by, the second to report."""

    @property
    def all(self) -> tuple[Request, ...]:
        groups = (self.dim, self.cosmic, self.selection, self.search, self.test)
        # DIM's prompts are among COSMIC's: each once.
        return tuple(dict.fromkeys(r for group in groups for side in group for r in side))


def prompts(
    config: Steered, bank: tuple[Request, ...], neutral: tuple[NeutralText, ...]
) -> Prompts:
    """ValueError where a split holds fewer requests than are asked for."""

    def take(split: str, n: int, skip: int = 0) -> tuple[tuple[Request, ...], tuple[Request, ...]]:
        sides = []
        for harmful in (True, False):
            there = [r for r in bank if r.split == split and r.harmful == harmful]
            if len(there) < skip + n:
                raise ValueError(
                    f"{skip + n} {'harmful' if harmful else 'harmless'} requests of the {split} "
                    f"split are needed, and the bank has {len(there)}: ask for fewer, or give "
                    "--prompts FILE"
                )
            # Test prompts from the other end: while the rules were made, the first ones were seen.
            sides.append(tuple(there[-n:] if split == "test" else there[skip : skip + n]))
        return sides[0], sides[1]

    n_selection = config.selection_prompts
    return Prompts(
        dim=take("train", config.dim_prompts),
        cosmic=take("train", config.cosmic_prompts),
        selection=take("validation", n_selection),
        search=take("validation", config.validation_prompts, n_selection),
        test=take("test", config.n_test),
        neutral=neutral,
    )


@dataclass(frozen=True)
class Plan:
    """A validated request."""

    config: Steered
    models: tuple[ModelPlan, ...]
    prompts: Prompts

    @property
    def step(self) -> str:
        return type(self.config).__name__.lower()

    @cached_property
    def spec(self) -> Spec:
        """Everything that changes a number, and nothing else: its hash is the run's key."""
        config = self.config
        names = (*SHARED, *OWN[type(config)])
        return Spec(
            analysis="refusal",
            step=self.step,
            version=VERSION,
            model=tuple(model.identity for model in self.models),
            dtype=dtype_name(config),
            quantization=config.quantization,
            prompts_hash=content_hash((*self.prompts.all, *self.prompts.neutral)),
            parameters={
                name: list(value) if isinstance(value := getattr(config, name), tuple) else value
                for name in names
            },
        )

    @cached_property
    def folder(self) -> Path:
        names = [model.name for model in self.models]
        several = f"{len(names)}-models" if len(names) > 1 else names[0]
        config = self.config
        name = run_name(self.spec, f"{self.step}-{config.preset or several}", config.run)
        return run_folder("refusal", name, config.out)


def make_plan(config: Steered) -> Plan:
    """Check the request; ValueError says what to change. A model that cannot be found or read
    stays in the plan with its reason, so that the others are measured without it."""
    config.check()
    models = tuple(_with_layers(config, model) for model in model_plans(config))
    pocket = all(is_pocket(model.spec) for model in models)
    bank = load_requests(config.prompts or ("pocket_requests" if pocket else "requests"))
    neutral = load_neutral("pocket_neutral" if pocket else "neutral")
    return Plan(config, models, prompts(config, bank, neutral))


def _with_layers(config: Steered, model: ModelPlan) -> ModelPlan:
    """The model; one in which two of the depths are the same layer cannot be measured."""
    if model.size is None:
        return model
    depths, n = config.depths_of(model.name), model.size.n_layers
    if len({layer_at(depth, n) for depth in depths}) == len(depths):
        return model
    return replace(model, size=None, reason=f"with {n} layers, depths {depths} share a layer")

"""What a run will do, settled before any weight is loaded."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analyses.alignment_quality.config import Config
from analyses.alignment_quality.items import Items, load_items
from analyses.requested import ModelPlan, dtype_name, model_plans
from tl_geometry.catalogue import is_pocket
from tl_geometry.runs import Spec, run_folder, run_name
from tl_geometry.sites import layer_at

VERSION = 2
"""Raised when the same settings would give other numbers."""


@dataclass(frozen=True)
class Plan:
    """A validated request."""

    config: Config
    models: tuple[ModelPlan, ...]
    items: Items

    def headline_layer(self, model: ModelPlan) -> int:
        assert model.size is not None
        return layer_at(self.config.depth, model.size.n_layers)

    def layers(self, model: ModelPlan) -> tuple[int, ...]:
        """Measured layers, ascending; the headline's and the last are always among them.

        ValueError for a layer that the model does not have.
        """
        assert model.size is not None
        n = model.size.n_layers
        if self.config.layers == (-1,):
            return tuple(range(n))
        chosen = self.config.layers or tuple(layer_at(depth, n) for depth in self.config.depths)
        if wrong := [layer for layer in chosen if not 0 <= layer < n]:
            raise ValueError(
                f"layer {wrong[0]} does not exist: {model.name} has layers 0 to {n - 1} "
                "(--layers -1 measures all)"
            )
        return tuple(sorted({*chosen, self.headline_layer(model), n - 1}))

    @property
    def pairs(self) -> list[tuple[ModelPlan, ModelPlan]]:
        """(instruct, base) where both are named."""
        by_name = {model.name: model for model in self.models}
        bases = [(model, by_name.get(model.spec.base or "")) for model in self.models]
        return [(model, base) for model, base in bases if base is not None]

    @cached_property
    def spec(self) -> Spec:
        """Everything that changes a number, and nothing else: its hash is the run's key."""
        config = self.config
        return Spec(
            analysis="alignment_quality",
            step="measure",
            version=VERSION,
            model=tuple(model.identity for model in self.models),
            dtype=dtype_name(config),
            quantization=config.quantization,
            prompts_hash=self.items.content_hash,
            parameters={
                "items": self.items.name,
                "per_cell": self.items.per_cell,
                "pool": list(config.pool),
                "layers": [list(self.layers(m)) if m.size else [] for m in self.models],
                "headline_depth": config.depth,
                "max_length": config.max_length,
                "random_init": config.random_init,
                "published": config.published,
                "reseeds": config.reseeds,
                "gamma": config.gamma,
                "reference": config.reference,
                "seed": config.seed,
                "resamples": config.resamples,
            },
        )


def make_plan(config: Config) -> Plan:
    """Check the request; ValueError says what to change. A model that cannot be found or read
    stays in the plan with its reason, so that the others are measured without it."""
    config.check()
    models = model_plans(config)
    every_pocket = all(is_pocket(model.spec) for model in models)
    name = config.prompts or ("pocket" if every_pocket else "litmus")
    plan = Plan(config, models, load_items(name, config.per_cell, config.seed))
    if plan.items.per_cell < 3:
        raise ValueError(f"{plan.items.per_cell} items of an axiom and label are too few: need 3")
    for model in models:
        if model.size is not None:
            plan.layers(model)
    return plan


def folder_of(plan: Plan) -> Path:
    config = plan.config
    names = [model.name for model in plan.models]
    several = f"{len(names)}-models" if len(names) > 1 else names[0]
    name = run_name(plan.spec, config.preset or f"{config.mode}-{several}", config.run)
    return run_folder("alignment_quality", name, config.out)

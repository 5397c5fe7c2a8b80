"""What a run of `extract` will do, settled before any weight is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from analyses.alignment_steering.config import Paired
from analyses.alignment_steering.preferences import Loaded, PreferencePair, load
from analyses.requested import ModelPlan, dtype_name, model_plans
from tl_geometry.catalogue import MODELS, ModelSpec, is_pocket
from tl_geometry.pocket.splits import digest
from tl_geometry.runs import Spec, run_folder, run_name

VERSION = 1
"""Raised when the same settings would give other numbers."""
ANALYSIS = "alignment_steering"


@dataclass(frozen=True)
class Pair:
    """A base model and the one tuned from it; without sizes it cannot be measured, for a reason."""

    base: ModelPlan | None
    instruct: ModelPlan
    reason: str = ""

    @property
    def name(self) -> str:
        """A pair is known by its instruct model."""
        return self.instruct.name

    @property
    def n_layers(self) -> int:
        assert self.instruct.size is not None
        return self.instruct.size.n_layers

    @property
    def members(self) -> tuple[ModelPlan, ...]:
        return (self.instruct,) if self.base is None else (self.base, self.instruct)


@dataclass(frozen=True)
class Plan:
    """A validated request."""

    config: Paired
    pairs: tuple[Pair, ...]
    data: Loaded

    @property
    def source(self) -> str:
        return source_of(self.config, self.pairs)

    @property
    def pocket(self) -> bool:
        return all_pocket(self.pairs)

    @cached_property
    def spec(self) -> Spec:
        """Everything that changes a number, and nothing else: its hash is the run's key."""
        config = self.config
        return Spec(
            analysis=ANALYSIS,
            step="extract",
            version=VERSION,
            model=identities(self.pairs),
            dtype=dtype_name(config),
            quantization=config.quantization,
            prompts_hash=data_hash(self.data.pairs),
            parameters={
                "pairs": [f"{p.base.name if p.base else ''}:{p.name}" for p in self.pairs],
                "samples": config.n_samples,
                "format": config.format,
                "max_tokens": config.max_tokens,
                "svd_component": config.svd_component if config.svd else None,
                "resamples": config.resamples,
                "seed": config.seed,
            },
        )

    @cached_property
    def folder(self) -> Path:
        return folder_of(self.config, self.pairs, self.spec)


def make_plan(config: Paired) -> Plan:
    """Check the request; ValueError says what to change. A pair that cannot be found or read stays
    in the plan with its reason, so that the others are measured without it."""
    config.check()
    found = pairs(config)
    data = load(source_of(config, found), "train", config.n_samples, config.seed)
    return Plan(config, found, data)


def pairs(config: Paired) -> tuple[Pair, ...]:
    """Each pair once. ValueError for an unknown name, or two pairs with one instruct model."""
    named = [tuple(pair.split(":")) for pair in config.pairs]
    named += [(_base_of(name), name) for name in config.instruct_names]
    named = list(dict.fromkeys(named))
    instructs = [instruct for _, instruct in named]
    if twice := [name for name in instructs if instructs.count(name) > 1]:
        raise ValueError(f"{twice[0]} is in two pairs, and a pair is known by it: run them apart")
    plans = {name: _plan_of(config, name) for pair in named for name in pair if name}
    return tuple(_pair(plans.get(base), plans[instruct]) for base, instruct in named)


def _base_of(name: str) -> str:
    known = MODELS.get(name)
    return (known.base if known else None) or ""


def _plan_of(config: Paired, name: str) -> ModelPlan:
    return model_plans(replace(config, models=(name,)))[0]


def _pair(base: ModelPlan | None, instruct: ModelPlan) -> Pair:
    if base is None:
        why = f"no base model of {instruct.name} is known: name it with --pairs BASE:INSTRUCT"
        return Pair(None, instruct, why)
    for model in (base, instruct):
        if model.size is None:
            return Pair(base, instruct, model.reason)
    assert base.size is not None and instruct.size is not None
    shapes = [(m.n_layers, m.d_model) for m in (base.size, instruct.size)]
    if shapes[0] != shapes[1]:
        why = f"they differ in shape: {shapes[0]} and {shapes[1]} layers and dimensions"
        return Pair(base, instruct, why)
    return Pair(base, instruct)


def source_of(config: Paired, found: Sequence[Pair]) -> str:
    return config.prompts or ("pocket" if all_pocket(found) else "hh-rlhf")


def all_pocket(found: Sequence[Pair]) -> bool:
    return all(is_pocket(model.spec) for pair in found for model in pair.members)


def identities(found: Sequence[Pair]) -> tuple[dict[str, str], ...]:
    models = {model.name: model.identity for pair in found for model in pair.members}
    return tuple(models.values())


def data_hash(found: Sequence[PreferencePair]) -> str:
    return f"{digest(*[(p.id, *p.prompt, p.chosen, p.rejected) for p in found]):016x}"


def folder_of(config: Paired, found: Sequence[Pair], spec: Spec) -> Path:
    several = f"{len(found)}-pairs" if len(found) > 1 else found[0].name
    name = f"{spec.step}-{config.preset or several}"
    return run_folder(ANALYSIS, run_name(spec, name, config.run), config.out)


def tokenizer_of(spec: ModelSpec) -> Any:
    """Without its model: both models of a pair read the instruct model's ids."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(spec.source, revision=spec.revision)

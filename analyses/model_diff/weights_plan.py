"""What a run of `weights` will read, settled before any tensor is."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from analyses.model_diff.extracted import recorded
from analyses.model_diff.plan import ANALYSIS, Pair, Plan, extraction_of, pair_of
from analyses.model_diff.weights_config import Weights
from analyses.requested import ModelPlan, model_plans
from tl_geometry.adapters import adapter_digest, read_adapter
from tl_geometry.checkpoints import open_checkpoint, read_checkpoint
from tl_geometry.runs import Spec, run_folder, run_name
from tl_geometry.weight_delta import Difference
from tl_geometry.weight_delta import Pair as Checkpoints

VERSION = 3
WEIGHTS = "weights"
"""Folder of the rows."""


@dataclass(frozen=True)
class WeightsPlan:
    """A validated request."""

    config: Weights
    models: tuple[ModelPlan, ...]
    """Base and tuned; the base alone where an adapter or revisions are compared."""
    extraction: Plan | None
    """The run whose trait vectors are compared; None where none are."""
    adapter: str | None = None
    """What is in the adapter's files, whose folder may be called as another's."""

    @property
    def name(self) -> str:
        return self.models[-1].name

    @cached_property
    def spec(self) -> Spec:
        config = self.config
        return Spec(
            analysis=ANALYSIS,
            step=WEIGHTS,
            version=VERSION,
            model=tuple(model.identity for model in self.models),
            dtype="float32",
            prompts_hash=recorded(self.extraction)["key"] if self.extraction else "",
            parameters={
                "step": config.step,
                "adapter": self.adapter,
                "revisions": list(config.revisions),
                "tokens": config.tokens,
                "directions": config.directions,
                "permutations": config.permutations,
                "resamples": config.resamples,
                "seed": config.seed,
            },
        )

    @cached_property
    def folder(self) -> Path:
        name = f"weights-{self.config.preset or self.name}"
        return run_folder(ANALYSIS, run_name(self.spec, name, self.config.run), self.config.out)


def make_weights_plan(config: Weights) -> WeightsPlan:
    """ValueError says what to change, or which vectors are missing."""
    config.check()
    if config.adapter or config.revisions:
        name = (config.named[0] or config.instruct) if config.adapter else config.instruct
        (model,) = model_plans(replace(config, models=(name,)))
        if model.size is None:
            raise ValueError(f"{model.name}: {model.reason}")
        adapter = adapter_digest(Path(config.adapter)) if config.adapter else None
        return WeightsPlan(config, (model,), _extraction(config, None), adapter)
    pair = pair_of(config)
    return WeightsPlan(config, (pair.base, pair.instruct), _extraction(config, pair))


def difference_of(plan: WeightsPlan) -> Difference:
    """Opens files; reads no tensor. ValueError for what cannot be compared."""
    config, base = plan.config, plan.models[0].spec
    if config.adapter:
        return read_adapter(Path(config.adapter), open_checkpoint(base.name))
    if config.revisions:
        first, second = (open_checkpoint(base.source, revision) for revision in config.revisions)
        return Checkpoints(first, second)
    return Checkpoints(*(_opened(model) for model in plan.models))


def _opened(model: ModelPlan) -> Any:
    folder = Path(model.spec.source)
    if folder.is_dir():
        return read_checkpoint(folder, model.name)
    return open_checkpoint(model.spec.source, model.spec.revision)


def _extraction(config: Weights, pair: Pair | None) -> Plan | None:
    """The run with the trait vectors. ValueError for a named one that is not there."""
    if config.step not in ("all", "trait_alignment"):
        return None
    if pair is None and config.vectors is None:
        return None
    return extraction_of(config, config.vectors)

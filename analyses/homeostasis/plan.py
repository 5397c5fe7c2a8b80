"""What a run will do, settled before any weight is loaded."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analyses.homeostasis.conditions import CONDITIONS, SAME_AS
from analyses.homeostasis.config import Config
from analyses.homeostasis.measure import Setup
from analyses.requested import dtype_name
from tl_geometry.catalogue import ModelSize, ModelSpec, identity, is_pocket, resolve, size_of
from tl_geometry.prompts import Pair, Prompt, content_hash, load_bank, load_pairs
from tl_geometry.runs import Spec, run_folder, run_name
from tl_geometry.sites import layer_at

VERSION = 2
"""Raised when the same settings would give other numbers."""

NEEDED = ("patched", "passive", "self")


@dataclass(frozen=True)
class Plan:
    """A validated request for one model."""

    config: Config
    model: ModelSpec
    size: ModelSize
    bank: tuple[Prompt, ...]
    listed: tuple[Pair, ...] | None
    """The user's own pairs, if a file names them."""

    @cached_property
    def setup(self) -> Setup:
        n_layers = self.size.n_layers
        return Setup(
            patch_layer=layer_at(self.config.patch_depth, n_layers),
            early_layer=layer_at(self.config.early_depth, n_layers),
            window=self.config.window,
            seed=self.config.seed,
            conditions=_conditions(self.config, self.n_pairs),
        )

    @property
    def n_pairs(self) -> int:
        available = self.config.pairs if self.listed is None else len(self.listed)
        return available if self.config.limit is None else min(available, self.config.limit)

    @cached_property
    def spec(self) -> Spec:
        """Everything that changes a number, and nothing else: its hash is the run's key."""
        config, who = self.config, identity(self.model)
        prompts = (
            self.bank
            if self.listed is None
            else [p for pair in self.listed for p in (pair.target, pair.donor)]
        )
        return Spec(
            analysis="homeostasis",
            step="measure",
            version=VERSION,
            model={"name": who.name, "source": who.source, "revision": who.revision},
            dtype=dtype_name(config),
            quantization=config.quantization,
            prompts_hash=content_hash(prompts),
            parameters={
                "pairs": config.pairs if self.listed is None else "listed",
                "n_pairs": self.n_pairs,
                "window": config.window,
                "patch_layer": self.setup.patch_layer,
                "early_layer": self.setup.early_layer,
                "conditions": list(self.setup.conditions),
                "seed": config.seed,
                "resamples": config.resamples,
            },
        )


def make_plan(config: Config) -> Plan:
    """Check the request against the model's own configuration; ValueError says what to change."""
    config.check()
    if len(config.models) != 1:
        raise ValueError(f"one model a run, got {len(config.models)}: run them one by one")
    if config.pairs_file is not None and config.pairs != Config.pairs:
        raise ValueError(
            f"pairs={config.pairs} and a file of pairs ({config.pairs_file}): leave out --pairs; "
            "--limit takes the first of the file"
        )
    model = resolve(config.models[0], config.revision)
    size = size_of(model)
    bank = load_bank(config.prompts or ("pocket" if is_pocket(model) else "bank"))
    listed = None if config.pairs_file is None else load_pairs(config.pairs_file, bank)
    plan = Plan(config, model, size, bank, listed)
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    setup, n_layers, config = plan.setup, plan.size.n_layers, plan.config
    if plan.n_pairs < 1:
        raise ValueError(f"{plan.n_pairs} pairs leave nothing to measure: ask for at least 1")
    if config.window < 2:
        raise ValueError(f"window={config.window}: a participation ratio needs at least 2 tokens")
    if setup.patch_layer <= setup.early_layer:
        raise ValueError(
            f"patch layer {setup.patch_layer} (depth {config.patch_depth:g}) does not lie behind "
            f"the early layer {setup.early_layer} (depth {config.early_depth:g}): a patch there "
            "would change R_V's denominator. Raise --patch-depth or lower --early-depth"
        )
    if setup.patch_layer >= n_layers - 1:
        raise ValueError(
            f"patch layer {setup.patch_layer} leaves nothing downstream to measure: "
            f"{plan.model.name} has layers 0 to {n_layers - 1}, so use --patch-depth below "
            f"{(n_layers - 1) / n_layers:.3f}"
        )
    if config.resamples < 100:
        raise ValueError(f"resamples={config.resamples}: intervals need at least 100")


def _conditions(config: Config, n_pairs: int) -> tuple[str, ...]:
    known = (*CONDITIONS, *SAME_AS)
    if unknown := [c for c in config.conditions if c not in known]:
        raise ValueError(f"unknown conditions {unknown}; choose from {', '.join(known)}")
    asked = {SAME_AS.get(c, c) for c in config.conditions} or set(CONDITIONS)
    if n_pairs < 2:
        asked.discard("other_plain")  # there is no other text
    return tuple(c for c in CONDITIONS if c in asked.union(NEEDED))


def folder_of(plan: Plan) -> Path:
    config = plan.config
    name = run_name(plan.spec, config.preset or plan.model.name, config.run)
    return run_folder("homeostasis", name, config.out)

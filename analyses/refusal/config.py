"""Settings of the refusal analyses. No torch here, so that `--help` is quick."""

from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import ClassVar, Literal

from analyses.budget import Budgeted
from analyses.cli import Common, Flag, ImageFormat, Models
from analyses.families import FAMILIES

LOW_PRIORITY = ("llama-3-8b", "mistral-7b-v0.3")
"""The plan tests these at fewer depths."""

FREE = "free"
"""Stands for the depth where a method chose freely among all layers."""
Method = Literal["dim", "cosmic"]
DoseUnit = Literal["unit", "raw", "residual"]
Span = Literal["layer", "to_end", "everywhere"]


@dataclass(frozen=True, kw_only=True)
class Steered(Budgeted, Common):
    """What all steps share: how directions are extracted, steered with and judged."""

    one_run: ClassVar[bool] = True

    models: Models = FAMILIES
    """Short names (pocket-mistral, mistral-7b, …), hub ids or folders; instruct models."""
    dim_prompts: int = 128
    """Harmful and as many harmless training prompts for the difference of means (DIM)."""
    cosmic_prompts: int = 180
    """The same for COSMIC."""
    selection_prompts: int = 32
    """Validation prompts of each class on which candidates are scored."""
    validation_prompts: int = 16
    """Other benign validation prompts on which depth and dose are chosen."""
    test_prompts: int = 50
    """Unique benign test prompts, and as many harmful ones; nothing is chosen on them."""
    positions: int = 5
    """Candidates come from this many last tokens of the prompt (fewer where the template is
    shorter); 1 is the last token only."""
    dose_unit: DoseUnit = "residual"
    """`residual`: share of the residual stream's mean length there; `unit`: multiple of the unit
    vector (the plan's 15); `raw`: multiple of the difference as measured (the papers' 1)."""
    span: Span = "to_end"
    """Steer at the outputs of all blocks from the layer on, of that block alone, or of all."""
    new_tokens: int = 100
    search_tokens: int = 40
    """Length of answers while depth and dose are chosen."""
    random_directions: int = 5
    """Random directions of equal length that get the same search."""
    executor: Literal["serial", "processes", "ray"] = "serial"
    """Models one after the other, side by side on this machine, or on a Ray cluster."""
    wandb: str | None = None
    """Weights & Biases project to send every model and method to as a run; `plan`: the plan's own
    project of this step."""
    workers: int = 2
    """Models measured side by side."""
    skip_verification: Flag = False
    """Start without a passed `verify`; the report says so."""

    def check(self) -> None:
        super().check()
        for name in ("dim_prompts", "cosmic_prompts", "selection_prompts", "test_prompts"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}={getattr(self, name)}: a mean needs at least 2 prompts")
        for name in ("validation_prompts", "positions", "new_tokens", "search_tokens", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give at least 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit={self.limit}: at least 1 test prompt is needed")
        if self.random_directions < 0:
            raise ValueError(f"random_directions={self.random_directions}: give 0 or more")

    @property
    def n_test(self) -> int:
        return self.test_prompts if self.limit is None else min(self.limit, self.test_prompts)


@dataclass(frozen=True, kw_only=True)
class Families(Steered):
    """Which families can be made to refuse, at which depth, by which method and dose?"""

    methods: tuple[Method, ...] = ("dim", "cosmic")
    depths: tuple[float, ...] = (0.2, 0.4, 0.5, 0.6, 0.8)
    """Relative depths; the layer is floor(depth · n_layers)."""
    low_depths: tuple[float, ...] = (0.5, 0.6, 0.7)
    """Depths for families that the plan gives low priority."""
    doses: tuple[float, ...] = (0.02, 0.035, 0.05, 0.075, 0.11)
    """Doses that are compared on validation prompts, in --dose-unit."""
    preset: str | None = None
    """`seed`: the plan's four models, 5 + 5 and 50 + 50 prompts, last token, 15 × unit vector."""

    def depths_of(self, model: str) -> tuple[float, ...]:
        """At which depths this model is tried."""
        return self.low_depths if model in LOW_PRIORITY else self.depths

    def check(self) -> None:
        super().check()
        for name in ("depths", "low_depths", "doses", "methods"):
            if not getattr(self, name):
                raise ValueError(f"--{name.replace('_', '-')} is empty: give at least one")
        if wrong := [depth for depth in (*self.depths, *self.low_depths) if not 0 <= depth < 1]:
            raise ValueError(f"depths {wrong} are outside 0 (first layer) to below 1 (the end)")
        if wrong := [dose for dose in self.doses if not 0 < dose < inf]:
            raise ValueError(f"doses {wrong}: a dose is above 0; negative ones are a control")


SEED = Families(
    models=("gemma-2-9b", "phi-3.5-mini", "llama-3-8b", "mistral-7b-v0.3"),
    dim_prompts=5,
    cosmic_prompts=50,
    positions=1,
    dose_unit="unit",
    doses=(15.0,),
    preset="seed",
)

SIZES = ("--test-prompts",)


@dataclass(frozen=True, kw_only=True)
class Verify(Steered):
    """Is our COSMIC the published one, and does steering induce coherent refusal?"""

    models: Models = ("pocket-qwen2",)
    depth: float = 0.8
    """Depth at which steering is tried: the best of `families` on validation prompts of
    pocket-qwen2; `--preset seed`: 0.6, layer 16 of Qwen-7B."""
    doses: tuple[float, ...] = (0.02, 0.035, 0.05, 0.075, 0.11)
    preset: str | None = None
    """`seed`: Qwen2.5-7B-Instruct at layer 16, 15 × unit vector."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Do people who read the answers agree with the judge?"""

    run: str
    """Name of a finished run."""
    ratings: Path
    """The report's rating sheet (CSV), its column `rating` filled in."""
    out: Path | None = None
    """Folder of the runs. Default: runs/refusal."""
    export: tuple[ImageFormat, ...] = ()
    """Also write the figures in these formats (needs Chromium)."""


VERIFY_SEED = replace(
    Verify(), models=("qwen2.5-7b",), depth=0.6, dose_unit="unit", doses=(15.0,), preset="seed"
)
PRESETS = {"families": {"seed": SEED}, "verify": {"seed": VERIFY_SEED}}

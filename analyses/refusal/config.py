"""Settings of the refusal analyses. No torch here, so that `--help` is quick."""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

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
Tokens = Literal["all", "prompt", "generated"]


@dataclass(frozen=True, kw_only=True)
class Steered(Budgeted, Common):
    """What all steps share: how directions are extracted, steered with and judged."""

    one_run: ClassVar[bool] = True

    models: Models = FAMILIES
    """Short names (pocket-mistral, mistral-7b, …), hub ids or folders; instruct models."""
    methods: tuple[Method, ...] = ("dim", "cosmic")
    depths: tuple[float, ...] = (0.2, 0.4, 0.5, 0.6, 0.8)
    """Relative depths; the layer is floor(depth · n_layers)."""
    doses: tuple[float, ...] = (0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5)
    """Doses that are compared on validation prompts, in --dose-unit."""
    dim_prompts: int = 128
    """Harmful and as many harmless training prompts for the difference of means (DIM)."""
    cosmic_prompts: int = 180
    """The same for COSMIC."""
    selection_prompts: int = 32
    """Validation prompts of each class on which candidates are scored."""
    validation_prompts: int = 24
    """Other benign validation prompts on which depth and dose are chosen."""
    screen_prompts: int = 8
    """Of these, so many are asked first, for short answers, under every depth and dose."""
    screen_tokens: int = 40
    kept_doses: int = 2
    """So many doses of each method at each depth, the best of that screening, go on to the whole
    search; of each control as many conditions as of a method."""
    test_prompts: int = 50
    """Unique benign test prompts, and as many harmful ones; nothing is chosen on them."""
    positions: int = 5
    """Candidates come from this many last tokens of the prompt (fewer where the template is
    shorter); 1 is the last token only."""
    dose_unit: DoseUnit = "residual"
    """`residual`: share of the residual stream's mean length there; `unit`: multiple of the unit
    vector (the plan's 15); `raw`: multiple of the difference as measured (the papers' 1)."""
    span: Span = "layer"
    """Steer at the output of that block alone, of all from there on (the plan's `to_end`), or of
    all blocks."""
    tokens: Tokens = "prompt"
    """Steer at the prompt's tokens, at those of the answer, or at `all` (the plan's)."""
    new_tokens: int = 100
    search_tokens: int = 100
    """Length of answers while depth and dose are chosen: text that is steered too hard often
    falls apart only after a whole sentence."""
    random_directions: int = 5
    """Random directions of equal length that get the same search."""
    executor: Literal["auto", "serial", "processes", "ray"] = "auto"
    """Models one after the other, side by side on this machine, or on a Ray cluster. `auto`: side
    by side for four models and more on a machine without a GPU, else one after the other."""
    wandb: str | None = None
    """Weights & Biases project to send every model and method to as a run; `plan`: the plan's own
    project of this step."""
    workers: int = 2
    """Models measured side by side."""
    skip_verification: Flag = False
    """Start without a passed `verify`; the report says so."""
    preset: str | None = None
    """`seed`: the plan's models, prompts and doses."""

    def check(self) -> None:
        super().check()
        for name in ("dim_prompts", "cosmic_prompts", "selection_prompts", "test_prompts"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}={getattr(self, name)}: a mean needs at least 2 prompts")
        for name in (
            "validation_prompts", "screen_prompts", "screen_tokens", "kept_doses", "positions",
            "new_tokens", "search_tokens", "workers",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give at least 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit={self.limit}: at least 1 test prompt is needed")
        if self.random_directions < 0:
            raise ValueError(f"random_directions={self.random_directions}: give 0 or more")

        for name in ("depths", "doses", "methods"):
            if not getattr(self, name):
                raise ValueError(f"--{name} is empty: give at least one")
        check_depths(self.depths)
        check_doses(self.doses)

    def depths_of(self, model: str) -> tuple[float, ...]:
        """At which depths this model is tried."""
        return self.depths

    @property
    def n_test(self) -> int:
        return self.test_prompts if self.limit is None else min(self.limit, self.test_prompts)


def check_depths(depths: tuple[float, ...]) -> None:
    if wrong := [depth for depth in depths if not 0 <= depth < 1]:
        raise ValueError(f"depths {wrong} are outside 0 (first layer) to below 1 (the end)")


def check_doses(doses: tuple[float, ...]) -> None:
    if wrong := [dose for dose in doses if not 0 < dose < inf]:
        raise ValueError(f"doses {wrong}: a dose is above 0; negative ones are a control")


@dataclass(frozen=True, kw_only=True)
class Families(Steered):
    """Which families can be made to refuse, at which depth, by which method and dose?"""

    low_depths: tuple[float, ...] = (0.5, 0.6, 0.7)
    """Depths for families that the plan gives low priority."""
    extra_depths: tuple[float, ...] = (0.3, 0.7)
    """Further depths for a model that a method makes refuse in part (20 % to 60 %)."""
    extra_doses: tuple[float, ...] = (0.7, 0.9, 1.15, 1.45, 1.8, 3.0)
    """Further doses for it; the plan's are 10, 20 and 25."""
    fallback_depths: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """Depths for all models, where no model refuses 20 % at any other."""
    fallback_doses: tuple[float, ...] = (0.2, 0.4, 0.8, 1.2, 1.6, 2.4, 3.5, 5.0)
    """Doses for them; the plan's are 5 to 50."""
    one_round: Flag = False
    """Look no further where a method works in part, or nothing works."""
    preset: str | None = None
    """`seed`: the plan's four models, 5 + 5 and 50 + 50 prompts, last token, 15 × unit vector."""

    def depths_of(self, model: str) -> tuple[float, ...]:
        return self.low_depths if model in LOW_PRIORITY else self.depths

    def check(self) -> None:
        super().check()
        if not self.low_depths:
            raise ValueError("--low-depths is empty: give at least one")
        check_depths((*self.low_depths, *self.extra_depths, *self.fallback_depths))
        check_doses((*self.extra_doses, *self.fallback_doses))


@dataclass(frozen=True, kw_only=True)
class Sizes(Steered):
    """Does refusal come easier or harder in larger models of one family?"""

    models: Models = ("pocket-qwen2-s", "pocket-qwen2", "pocket-qwen2-l")
    depths: tuple[float, ...] = (0.5, 0.6, 0.7)
    """Depths among which each size's own is chosen on validation prompts, with DIM."""
    preset: str | None = None
    """`seed`: the plan's four Qwen models; multiples of the unit vector around 15."""


Precision = Literal["none", "int8", "nf4"]


@dataclass(frozen=True, kw_only=True)
class Quantization(Steered):
    """Does a model with quantised weights refuse by the same direction?"""

    models: Models = ("pocket-qwen2-s", "pocket-qwen2", "pocket-qwen2-l")
    methods: tuple[Method, ...] = ("dim",)
    depths: tuple[float, ...] = (0.5, 0.6, 0.7)
    """Depths among which the model's own is chosen at full precision, on validation prompts."""
    precisions: tuple[Precision, ...] = ("none", "int8", "nf4")
    preset: str | None = None
    """`seed`: the plan's three Qwen models at 15 × unit vector."""

    def check(self) -> None:
        super().check()
        if self.precisions[:1] != ("none",) or len(self.precisions) < 2:
            raise ValueError(
                "--precisions begins with none, which the others are compared with: "
                "e.g. --precisions none nf4"
            )
        if self.quantization != "none":
            raise ValueError("--quantization is what this step compares: use --precisions")


CUT_SHORT = ("--test-prompts",)
"""Options that --limit stands in for."""


@dataclass(frozen=True, kw_only=True)
class Verify(Steered):
    """Is our COSMIC the published one, and does steering induce coherent refusal?"""

    models: Models = ("pocket-qwen2",)
    depths: Annotated[tuple[float, ...], tyro.conf.arg(aliases=["--depth"])] = (0.8,)
    """Depth at which steering is tried: the best of `families` on validation prompts of
    pocket-qwen2; `--preset seed`: 0.6, layer 16 of Qwen-7B."""
    preset: str | None = None
    """`seed`: Qwen2.5-7B-Instruct at layer 16, 15 × unit vector."""

    def check(self) -> None:
        super().check()
        if len(self.depths) != 1:
            raise ValueError(f"--depths {self.depths}: verification steers at one depth")
        if "cosmic" not in self.methods:
            raise ValueError("COSMIC is what is verified: leave cosmic in --methods")


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


@dataclass(frozen=True, kw_only=True)
class Decide:
    """What do the plan's rules say to do with what was found?"""

    families: str | None = None
    """Name of a finished run of `families`. Default: the newest one."""
    sizes: str | None = None
    """The same of `sizes`."""
    quantization: str | None = None
    """The same of `quantization`."""
    out: Path | None = None
    """Folder of the runs. Default: runs/refusal."""

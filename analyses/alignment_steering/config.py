"""Settings of the steering analyses. No torch here, so that `--help` is quick."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from analyses.cli import Common, Flag, Models
from analyses.families import FAMILIES

Mode = Literal["sanity", "full"]
Format = Literal["chat", "plain"]
SAMPLES: dict[Mode, int] = {"sanity": 100, "full": 1000}
"""Preference pairs that vectors are made of."""


@dataclass(frozen=True, kw_only=True)
class Paired(Common):
    """What all steps share: which pairs of models, and what they read."""

    one_run: ClassVar[bool] = True

    models: Models = ()
    """Instruct models (pocket-mistral, mistral-7b, …); the base of each comes from the table of
    models. Default: one embedded model of each family."""
    pairs: tuple[str, ...] = ()
    """Further pairs as BASE:INSTRUCT, each a short name, hub id or folder."""
    prompts: str | None = None
    """Preference pairs: `pocket`, `hh-rlhf` (Anthropic/hh-rlhf of the hub), or a .jsonl, .csv or
    .parquet file with prompt, chosen and rejected. Default: the one made for the models."""
    limit: int | None = None
    """So many preference pairs instead of the mode's: a pilot."""
    mode: Mode = "sanity"
    """How many preference pairs: sanity 100, full 1000."""
    samples: int | None = None
    """Exactly so many, whatever --mode and --limit say."""
    format: Format = "chat"
    """How both models are asked: the instruct model's chat template, or plain text."""
    max_tokens: int = 2048
    """Longer texts are left out and counted; so are those longer than the model's context."""
    batch_size: int | None = None
    """Texts a forward pass. Default: 64 (192 under steering), halved when memory runs out."""
    seed: int = 0
    """Chooses pairs, resamples and random vectors."""
    svd: Flag = True
    """`--no-svd` leaves out the vector from a principal component of the centred differences."""
    svd_component: int = 3
    """Which component that is, counted from 0: the fourth, as published."""
    cache: Flag = True
    """`--no-cache` keeps no hidden states in the run's folder."""
    resamples: int = 10_000
    """Bootstrap resamples."""
    preset: str | None = None
    """`seed`: the plan's six models, on hh-rlhf."""

    @property
    def instruct_names(self) -> tuple[str, ...]:
        """Models that are named on their own; the default only where nothing is."""
        return self.models if self.models or self.pairs else FAMILIES

    @property
    def n_samples(self) -> int:
        return self.samples or self.limit or SAMPLES[self.mode]

    def check(self) -> None:
        names = (*self.instruct_names, *self.pairs)
        Common.check(replace(self, models=names))
        if self.revision is not None:
            raise ValueError(
                "--revision names the commit of one model, and a pair has two: name folders "
                "of the wanted commits with --pairs BASE:INSTRUCT"
            )
        if odd := [pair for pair in self.pairs if len(pair.split(":")) != 2]:
            raise ValueError(f"--pairs {odd[0]}: name two models with a colon, BASE:INSTRUCT")
        for name, value in (("samples", self.samples), ("limit", self.limit)):
            if value is not None and value < 4:
                raise ValueError(f"{name}={value}: two halves need at least 2 pairs each")
        if self.svd_component < 0:
            raise ValueError(f"svd_component={self.svd_component}: components count from 0")
        if self.svd and self.svd_component >= self.n_samples:
            raise ValueError(
                f"svd_component={self.svd_component}: {self.n_samples} texts have no such component"
            )
        if self.resamples < 100:
            raise ValueError(f"resamples={self.resamples}: intervals need at least 100")
        if self.max_tokens < 8:
            raise ValueError(f"max_tokens={self.max_tokens} leaves no text: give at least 8")


@dataclass(frozen=True, kw_only=True)
class Extract(Paired):
    """What did tuning do to hidden states, and is it one direction?"""


SIZES = ("--samples",)
"""What `--limit` stands in for: given explicitly, they count and it does not."""
SEED_MODELS = (
    "llama-3.1-8b", "mistral-7b-v0.3", "qwen2-7b", "gemma-2-9b", "falcon-7b", "zephyr-7b",
)  # fmt: skip
SEED_NAMES: dict[str, str] = dict(
    zip(
        SEED_MODELS,
        ("Llama3_8B", "Mistral_7B", "Qwen2_7B", "Gemma2_9B", "Falcon_7B", "Zephyr_7B"),
        strict=True,
    )
)
"""What the plan calls them, and their folders in `export/`."""
SEED_SETTINGS: dict[str, Any] = {"models": SEED_MODELS, "prompts": "hh-rlhf", "preset": "seed"}
PRESETS: dict[str, dict[str, Any]] = {"extract": {"seed": replace(Extract(), **SEED_SETTINGS)}}


@dataclass(frozen=True, kw_only=True)
class Validate(Paired):
    """Does the base model, with the vector added, behave like the instruct model?"""

    vectors: str | None = None
    """Name of the `extract` run in the same folder. Default: the one that these settings make,
    extracted first where it is not there."""
    lambdas: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    """Strengths; the negative ones and 0 are measured too."""
    layers: tuple[int, ...] = ()
    """Blocks at whose outputs vectors are added. Default: the last five."""
    preserve_norm: bool = True
    """Rescale every token to the length that it had, as the plan does."""
    random_vectors: int = 3
    """Random vectors, at each layer as long as the mean vector."""
    requests: int = 24
    """Harmful and as many harmless test requests."""
    test_pairs: int = 40
    """Preference pairs of the test split."""
    neutral_texts: int = 24
    new_tokens: int = 48
    opening_tokens: int = 4
    """Words that the base model is given of the instruct model's own refusals, in tokens."""

    def check(self) -> None:
        super().check()
        if not self.lambdas or min(self.lambdas) <= 0:
            raise ValueError(f"lambdas={self.lambdas}: strengths are above 0; negatives come too")
        for name in ("requests", "test_pairs", "neutral_texts"):
            if getattr(self, name) < 3:
                raise ValueError(f"{name}={getattr(self, name)}: an interval needs at least 3")
        for name in ("new_tokens", "opening_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give at least 1")
        if self.random_vectors < 3:
            raise ValueError(f"random_vectors={self.random_vectors}: a control needs at least 3")
        if any(layer < 0 for layer in self.layers):
            raise ValueError(f"layers {self.layers} count from 0, from the first block on")


PRESETS["validate"] = {"seed": replace(Validate(), **SEED_SETTINGS)}

"""Settings of the model-diff steps. No torch here, so that `--help` is quick."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from analyses.cli import Common, Models

Method = Literal["mean_diff", "probe"]
Data = Literal["pocket", "pv"]


@dataclass(frozen=True, kw_only=True)
class Diff(Common):
    """What all steps share: the two models, the trait, and its scenarios."""

    one_run: ClassVar[bool] = True

    models: Models = ("pocket-llama",)
    """The instruct model; its base comes from the table of models, or from --base."""
    base: str | None = None
    """The base model, where the table does not know it: short name, hub id or folder."""
    trait: str = "sycophancy"
    """sycophancy, evil, hallucination, or the name of a folder of your own data."""
    data: Data | None = None
    """`pocket`: the embedded world's scenarios; `pv`: those in datasets/traits, for real models.
    Default: the one made for the models."""
    data_root: str | None = None
    """Folder with pv_instruction/<trait> and pv_natural/<trait>. Default: datasets/traits."""
    resamples: int = 10_000
    """Bootstrap resamples."""
    preset: str | None = None
    """`seed`: Llama-3.1-8B and its Instruct, with the plan's sizes."""

    @property
    def instruct(self) -> str:
        return self.models[0]

    def check(self) -> None:
        Common.check(self)
        if len(self.models) != 1:
            raise ValueError(f"--models names {len(self.models)}: give one, the instruct model")
        if self.revision is not None:
            raise ValueError(
                "--revision names the commit of one model, and two are compared: give folders of "
                "the wanted commits as --model and --base"
            )
        if self.resamples < 100:
            raise ValueError(f"resamples={self.resamples}: intervals need at least 100")


@dataclass(frozen=True, kw_only=True)
class Extract(Diff):
    """Which directions tell a trait from its opposite, by source, position and method?"""

    instruction_positions: tuple[str, ...] = ("response[:]",)
    """Of answers of the instruct model under system prompts for and against the trait."""
    natural_positions: tuple[str, ...] = ("response[:5]", "response[:10]", "response[:15]")
    """Of what the base model goes on to say after a narrative that fixes the trait."""
    methods: tuple[Method, ...] = ("mean_diff", "probe")
    limit: int | None = None
    """So many scenarios of each side and source: a pilot."""
    rollouts: int = 1
    """Responses a scenario; more than one needs a temperature."""
    temperature: float = 0.0
    """0 is greedy."""
    new_tokens: int = 64
    """Tokens of a response, where positions do not say how many are enough."""

    def check(self) -> None:
        super().check()
        if self.rollouts < 1 or self.new_tokens < 1:
            raise ValueError(f"rollouts={self.rollouts}, new_tokens={self.new_tokens}: at least 1")
        if self.temperature < 0:
            raise ValueError(f"temperature={self.temperature} is negative; 0 is greedy")
        if self.rollouts > 1 and self.temperature == 0:
            raise ValueError(
                f"rollouts={self.rollouts} at temperature 0 are copies of one response: give a "
                "--temperature above 0, or one rollout"
            )
        if self.limit is not None and self.limit < 10:
            raise ValueError(f"limit={self.limit}: five folds need 10 scenarios a side")
        if not self.methods or not (self.instruction_positions or self.natural_positions):
            raise ValueError("give a method, and positions of one source at least")


@dataclass(frozen=True, kw_only=True)
class Steer(Diff):
    """Which vector, at which layer and dose, brings the trait out while answers stay coherent?"""

    vectors: str | None = None
    """Name of the `extract` run in the same folder. Default: the one that these settings make,
    extracted first where it is not there."""
    layers: tuple[int, ...] = ()
    """Blocks at whose output vectors are added. Default: every third one of 30 to 60 % of depth."""
    doses: tuple[float, ...] = (0.25, 0.4, 0.63, 1.0, 1.6)
    """Length of what is added in shares of the residual stream's length there: a geometric grid."""
    bisections: int = 2
    """Halvings (in log dose) of the gap between the last coherent and the first incoherent dose."""
    coherence: float = 70.0
    """The least mean coherence at which a dose may be chosen."""
    new_tokens: int = 48
    """Tokens of an answer."""
    questions: int | None = None
    """So many validation and test questions instead of all."""
    judge_model: str | None = None
    """A model as judge, loaded beside the steered one. Default: the embedded world's own rules."""
    judge_url: str | None = None
    """An OpenAI-compatible server with log-probabilities, whose model --judge-model names."""

    def check(self) -> None:
        super().check()
        if not self.doses or min(self.doses) <= 0:
            raise ValueError(f"doses={self.doses}: give some, all above 0")
        if self.bisections < 0 or self.new_tokens < 1:
            raise ValueError("bisections are 0 or more, and answers have at least 1 token")
        if not 0 <= self.coherence <= 100:
            raise ValueError(f"coherence={self.coherence} is a rating from 0 to 100")
        if self.questions is not None and self.questions < 3:
            raise ValueError(f"questions={self.questions}: an interval needs at least 3")
        if self.judge_url and not self.judge_model:
            raise ValueError("--judge-url needs the name of a model there: --judge-model NAME")


WeightStep = Literal["all", "norms", "logit_lens", "trait_alignment"]


@dataclass(frozen=True, kw_only=True)
class Weights(Diff):
    """What did tuning change in the weights, and does it point along a trait?"""

    step: WeightStep = "all"
    """Only norms, what changes say in words, or how they lie to trait vectors."""
    vectors: str | None = None
    """Name of the `extract` run in the same folder. Default: the one that these settings make,
    extracted first where it is not there."""
    adapter: str | None = None
    """Folder of a LoRA adapter (PEFT): its change of the base model, not the instruct model's."""
    revisions: tuple[str, ...] = ()
    """Two revisions of --model, a hub model: compared with each other, without a base."""
    tokens: int = 20
    """Tokens of each direction, for and against."""
    directions: int = 3
    """Singular directions of every matrix that writes to the residual stream."""
    permutations: int = 10_000
    """Of layers, behind the nulls of alignment."""

    def check(self) -> None:
        super().check()
        if len(self.revisions) not in (0, 2) or (self.revisions and self.adapter):
            raise ValueError("--revisions names two, and an adapter has none: give one of the two")
        for name in ("tokens", "directions", "permutations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give at least 1")


_SEED: dict[str, Any] = {"models": ("llama-3.1-8b",), "preset": "seed"}
PRESETS: dict[str, dict[str, Any]] = {
    # Its two rollouts at temperature 0 were copies of one another: one is the same.
    "extract": {"seed": replace(Extract(), **_SEED, new_tokens=256)},
    "steer": {"seed": replace(Steer(), **_SEED, new_tokens=128)},
    "weights": {"seed": replace(Weights(), **_SEED)},
}
SIZES: tuple[str, ...] = ()
"""What `--limit` stands in for."""

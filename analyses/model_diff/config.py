"""Settings that all model-diff steps share, and those of `extract`. No torch here, so that `--help`
is quick."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from analyses.cli import Common, Models
from analyses.model_diff.experiment_file import read_experiment

Method = Literal["mean_diff", "probe"]
Data = Literal["pocket", "pv"]
Vet = Literal["rule", "judge", "none"]


@dataclass(frozen=True, kw_only=True)
class Diff(Common):
    """What all steps share: the two models, the trait, and its scenarios."""

    one_run: ClassVar[bool] = True

    models: Models = ("pocket-llama",)
    """The instruct model; its base comes from the table of models, or from --base."""
    base: str | None = None
    """The base model, where the table does not know it: short name, hub id or folder."""
    experiment: str | None = None
    """Both models from experiments/NAME/config.json (or a path): its `extraction` and `application`
    variants."""
    write_experiment: str | None = None
    """Write experiments/NAME/config.json of the models that are given, and stop."""
    trait: str = "sycophancy"
    """sycophancy, evil, hallucination, or the name of a folder of your own in --data-root."""
    data: Data | None = None
    """`pocket`: the embedded world's scenarios; `pv`: those in datasets/traits, for real models.
    Default: the one made for the models."""
    data_root: str | None = None
    """Folder of your own with pv_instruction/<trait> and pv_natural/<trait>, for `pv`. Default:
    datasets/traits."""
    vet: Vet | None = None
    """Leave out pairs of responses of which one does not show what its side stands for: by the
    embedded world's `rule` (default there), by a `judge` (--judge-model), or `none` (default
    elsewhere)."""
    judge_model: str | None = None
    """A model as judge: of steered answers, and with --vet judge of responses. Default: the
    embedded world's own rules."""
    judge_url: str | None = None
    """An OpenAI-compatible server with log-probabilities, whose model --judge-model names."""
    resamples: int = 10_000
    """Bootstrap resamples."""
    preset: str | None = None
    """`seed`: Llama-3.1-8B and its Instruct, with the plan's sizes."""

    @property
    def named(self) -> tuple[str | None, str]:
        """Base (None: the one that the table knows) and instruct model. ValueError as
        `read_experiment`."""
        if self.experiment is not None:
            return read_experiment(self.experiment)
        return self.base, self.models[0]

    @property
    def instruct(self) -> str:
        return self.named[1]

    def check(self) -> None:
        Common.check(self)
        if len(self.models) != 1:
            raise ValueError(f"--models names {len(self.models)}: give one, the instruct model")
        if self.revision is not None:
            raise ValueError(
                "--revision names the commit of one model, and two are compared: give folders of "
                "the wanted commits as --model and --base"
            )
        if self.vet == "judge" and self.judge_model is None:
            raise ValueError("--vet judge needs the name of a judge: --judge-model NAME")
        if self.judge_url and not self.judge_model:
            raise ValueError("--judge-url needs the name of a model there: --judge-model NAME")
        if self.prompts is not None:
            raise ValueError(
                "--prompts does nothing here: scenarios and questions come with --trait (--data, "
                "--data-root)"
            )
        if self.data == "pocket" and self.data_root is not None:
            raise ValueError("--data-root holds data for --data pv: leave one of the two out")
        if self.experiment is not None and (self.base or self.models != Diff.models):
            raise ValueError("--experiment names both models: leave --models and --base out")
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


SEED: dict[str, Any] = {"models": ("llama-3.1-8b",), "preset": "seed"}
"""What `--preset seed` says to every step."""
SEED_EXTRACT: dict[str, Any] = {"new_tokens": 256}
"""And to `extract`. The plan's two rollouts at temperature 0 were copies of one another: one is the
same."""

"""Settings of `steer`."""

from dataclasses import dataclass

from analyses.model_diff.config import Diff


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

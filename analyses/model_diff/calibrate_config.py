"""Settings of `calibrate`."""

from dataclasses import dataclass

from analyses.model_diff.config import Diff


@dataclass(frozen=True, kw_only=True)
class Calibrate(Diff):
    """How well does a judge agree with the embedded world's rule, on answers that are there?"""

    vectors: str | None = None
    """Name of the `extract` run in the same folder whose responses are rated. Default: the one that
    these settings make, extracted first where it is not there."""
    judge_model: str | None = None
    """The judge: short name, hub id or folder, or with --judge-url the name of a model there."""
    judge_url: str | None = None
    """An OpenAI-compatible server with log-probabilities."""
    limit: int | None = None
    """So many responses of each source and side: a pilot."""

    def check(self) -> None:
        super().check()
        if self.judge_model is None:
            raise ValueError(
                "no judge is named: give --judge-model NAME, with --judge-url a server's"
            )
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit={self.limit}: rate at least 1 response of each side")

"""Settings of `run`, which does all phases."""

from dataclasses import dataclass
from typing import Literal

from analyses.model_diff.config import Diff

Phase = Literal["extract", "steer", "combine", "weights", "similarity"]


@dataclass(frozen=True, kw_only=True)
class Whole(Diff):
    """All phases of one trait, one after the other, and what they say of the four hypotheses."""

    phases: tuple[Phase, ...] = ("extract", "steer", "combine", "weights", "similarity")
    """Each with its own defaults; what a phase needs and is not there is made all the same."""

    def check(self) -> None:
        super().check()
        if not self.phases or len(set(self.phases)) < len(self.phases):
            raise ValueError(f"phases={self.phases}: name some, each once")
        if self.limit is not None:
            raise ValueError(
                "--limit means another thing in every phase: give it to the steps one by one"
            )
        if self.run is not None:
            raise ValueError(
                "--run would name every phase alike: name runs of the steps one by one"
            )

"""Settings of `weights`."""

from dataclasses import dataclass
from typing import Literal

from analyses.model_diff.config import Diff

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

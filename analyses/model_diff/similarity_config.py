"""Settings of `similarity`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from analyses.model_diff.config import Diff


@dataclass(frozen=True, kw_only=True)
class Similarity(Diff):
    """Where are base and instruct alike on the same response, and do vectors carry over there?"""

    # Not on this step's command line: all traits are asked at once, and an option that did nothing
    # would be believed.
    trait: Annotated[str, tyro.conf.Suppress] = "sycophancy"
    traits: tuple[str, ...] = ("sycophancy", "evil", "hallucination")
    """Traits whose steering questions are the prompts."""
    limit: int | None = None
    """So many prompts of each trait instead of twenty: a pilot."""
    new_tokens: int = 64
    """Tokens of the instruct model's answer."""
    stride: int = 4
    """Every how manieth layer is compared position by position."""
    coverage: float = 0.8
    """Positions are compared as far as this share of the answers reaches."""
    coherence: float = 70.0
    """The least mean coherence at which a steered rating counts for a transfer curve."""
    steered: tuple[str, ...] = ()
    """Names of `steer` runs in the same folder, one a trait, whose searches give the transfer
    curves. Default: those that these settings make, where they are finished."""
    weights: str | None = None
    """Name of the `weights` run to compare with. Default: the one that these settings make, where
    it is finished."""
    save_activations: bool = False
    """Also write every layer's states of every token, one file a prompt and model (large)."""

    def check(self) -> None:
        super().check()
        if not self.traits or len(set(self.traits)) < len(self.traits):
            raise ValueError(f"traits={self.traits}: name some, each once")
        if self.limit is not None and self.limit < 2:
            raise ValueError(f"limit={self.limit}: the control needs another prompt of each trait")
        for name in ("new_tokens", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give at least 1")
        if not 0 < self.coverage <= 1:
            raise ValueError(f"coverage={self.coverage} is a share of the answers, above 0 up to 1")
        if not 0 <= self.coherence <= 100:
            raise ValueError(f"coherence={self.coherence} is a rating from 0 to 100")

"""Settings of the step `transfer`. No torch here, so that `--help` is quick."""

from dataclasses import dataclass
from math import inf
from typing import Literal

from analyses.alignment_steering.config import SEED_MODELS, Paired
from analyses.cli import Models

MapName = Literal["ridge", "procrustes"]
Length = Literal["carried", "own"]
COUNTS = {
    "last_layers": 1, "fit_texts": 8, "held_out_texts": 3, "behaviour_prompts": 2,
    "preference_pairs": 3, "new_tokens": 1, "draws": 1, "neutral_texts": 3, "shuffles": 20,
}  # fmt: skip
"""The least of each."""


@dataclass(frozen=True, kw_only=True)
class Transfer(Paired):
    """Does the vector of one family, carried into the space of another, steer it?"""

    models: Models = ("pocket-mistral", "pocket-qwen2", "pocket-gemma2")
    """Instruct models, two or more; every one is a source for every other."""
    vectors: str | None = None
    """Name of the run of `extract` that the vectors come from. Default: the one of these settings,
    which is made where it is not there."""
    maps: tuple[MapName, ...] = ("ridge", "procrustes")
    strengths: tuple[float, ...] = (0.25, 1.0)
    """What the vectors are multiplied by; all are reported, none is chosen."""
    length: Length = "carried"
    """Add vectors as long as the map makes them, or (`own`) as long as the target's own: then they
    differ in direction alone."""
    last_layers: int = 5
    """Added at the output of so many last blocks of the target."""
    depths: tuple[float, ...] = ()
    """At these relative depths instead; the layer is floor(depth · n_layers)."""
    preserve_norm: bool = True
    """Rescale every token to the length that it had, as the plan does."""
    fit_texts: int = 400
    """Preference pairs whose texts the maps are fitted on, one text a pair."""
    held_out_texts: int = 100
    """Other texts, of each kind, that R² is measured on."""
    behaviour_prompts: int = 24
    """Harmful and as many harmless test requests."""
    preference_pairs: int = 60
    """Test pairs whose answers' log-probabilities are compared."""
    new_tokens: int = 40
    draws: int = 5
    """Random maps, shuffled pairings and random vectors that steer, of each. All are read out by
    likelihoods; only the first of each is asked for answers, which take longest."""
    neutral_texts: int = 24
    """Plain texts whose likelihood is read."""
    shuffles: int = 100
    """Shuffled pairings behind the nulls of R² and of cosines."""

    def check(self) -> None:
        super().check()
        for name, least in COUNTS.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: give at least {least}")
        if self.draws > self.shuffles:
            raise ValueError(f"draws={self.draws} are of the shuffles={self.shuffles}: give fewer")
        if not self.maps:
            raise ValueError("--maps is empty: give ridge, procrustes or both")
        if not self.strengths or not all(0 < abs(s) < inf for s in self.strengths):
            raise ValueError(f"strengths={self.strengths}: give some, and none that is 0")
        if wrong := [depth for depth in self.depths if not 0 <= depth < 1]:
            raise ValueError(f"depths {wrong} are outside 0 (first layer) to below 1 (the end)")


TRANSFER_SIZES = ("--samples", "--preference-pairs", "--behaviour-prompts")
"""What `--limit` stands in for."""
_SEED = Transfer(models=SEED_MODELS, prompts="hh-rlhf", preset="seed", fit_texts=2000)
TRANSFER_PRESETS = {"seed": _SEED}
"""The plan says only that vectors need a projection between widths; these are its models."""

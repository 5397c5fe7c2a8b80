"""Settings of the cross-architecture analysis. No torch here, so that `--help` is quick."""

from dataclasses import dataclass
from typing import ClassVar

from analyses.cli import Common, Flag, Models
from analyses.families import FAMILIES


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Is there a critical layer, and is it at the same depth in every model?"""

    one_run: ClassVar[bool] = True

    models: Models = FAMILIES
    """Short names (pocket-mistral, mistral-7b, each with -base), hub ids or folders."""
    pairs: int = 50
    """Pairs of one self-observing and one plain text that are patched; every prompt once."""
    search_pairs: int = 16
    """Pairs, of other prompts, on which patches at all depths are compared."""
    window: int = 16
    """Last tokens of each text that are patched and measured; shorter texts are left out."""
    patch_depth: float = 27 / 32
    """The fixed depth that every model is patched at, beside its own critical layers."""
    early_depth: float = 5 / 32
    """Depth of the layer in R_V's denominator (5 of 32)."""
    search_depths: tuple[float, float] = (0.5, 0.95)
    """Depths between which patches are compared."""
    random_init: Flag = True
    """`--no-random-init` leaves out the same architecture with random weights, which is measured
    for what the texts alone bring about."""
    resamples: int = 10_000
    """Bootstrap resamples and permutations."""
    preset: str | None = None
    """`seed`: the plan's three models (Mistral-7B-Instruct-v0.2, Llama-3-8B-Instruct,
    Qwen1.5-7B-Chat); `sizes`: one embedded family in three sizes; `bases`: embedded base models."""


SIZES = ("--pairs",)
"""What `--limit` stands in for: given explicitly, they count and it does not."""
PRESETS = {
    "seed": Config(models=("mistral-7b", "llama-3-8b", "qwen1.5-7b"), preset="seed"),
    "sizes": Config(models=("pocket-qwen2-s", "pocket-qwen2", "pocket-qwen2-l"), preset="sizes"),
    "bases": Config(
        models=tuple(f"{name}-base" for name in FAMILIES if name != "pocket-zephyr"),
        preset="bases",
    ),
}

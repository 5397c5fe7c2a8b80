"""Settings of the homeostasis analysis. No torch here, so that `--help` is quick."""

from dataclasses import dataclass
from pathlib import Path

from analyses.cli import Common, Models


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Does the value geometry come back behind a patch, and what brings it back?"""

    models: Models = ("pocket-mistral",)
    """Short names (pocket-mistral, mistral-7b, each with -base), hub ids or folders."""
    pairs: int = 151
    """Pairs of one self-observing and one plain text; every prompt is used once."""
    pairs_file: Path | None = None
    """CSV of your own pairs: base_id,rec_id of the bank, or base_text,rec_text."""
    window: int = 16
    """Last tokens of each text that are patched and measured; shorter texts are left out."""
    patch_depth: float = 27 / 32
    """Depth of the patched layer: 27 of 32 layers. With 0.5, more layers are left to answer."""
    early_depth: float = 5 / 32
    """Depth of the layer in R_V's denominator (5 of 32); must lie before the patched one."""
    conditions: tuple[str, ...] = ()
    """Default: all. `patched`, `passive` and `self` are always among them."""
    resamples: int = 10_000
    """Bootstrap resamples and permutations."""
    preset: str | None = None
    """`seed`: the plan's own model, Mistral-7B-Instruct-v0.2, with its 151 pairs."""


SIZES = ("--pairs",)
"""What `--limit` stands in for: given explicitly, they count and it does not."""
PRESETS = {"seed": Config(models=("mistral-7b",), preset="seed")}

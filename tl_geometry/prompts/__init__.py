"""The texts that models are shown: banks of prompts, and which text is paired with which."""

from tl_geometry.prompts.banks import (
    CONTROLS,
    KINDS,
    LEVELS,
    PLAIN,
    SHIPPED,
    Prompt,
    content_hash,
    load_bank,
)
from tl_geometry.prompts.halves import chooses, halves
from tl_geometry.prompts.pair_files import load_pairs
from tl_geometry.prompts.pairing import Pair, Pairing, pairs

__all__ = [
    "CONTROLS",
    "KINDS",
    "LEVELS",
    "PLAIN",
    "SHIPPED",
    "Pair",
    "Pairing",
    "Prompt",
    "chooses",
    "content_hash",
    "halves",
    "load_bank",
    "load_pairs",
    "pairs",
]

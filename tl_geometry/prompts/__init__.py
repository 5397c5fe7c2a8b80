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
from tl_geometry.prompts.request_files import (
    REQUEST_SPLITS,
    SHIPPED_NEUTRAL,
    SHIPPED_REQUESTS,
    NeutralText,
    Request,
    load_neutral,
    load_requests,
)

__all__ = [
    "CONTROLS",
    "KINDS",
    "LEVELS",
    "PLAIN",
    "REQUEST_SPLITS",
    "SHIPPED",
    "SHIPPED_NEUTRAL",
    "SHIPPED_REQUESTS",
    "NeutralText",
    "Pair",
    "Pairing",
    "Prompt",
    "Request",
    "chooses",
    "content_hash",
    "halves",
    "load_bank",
    "load_neutral",
    "load_pairs",
    "load_requests",
    "pairs",
]

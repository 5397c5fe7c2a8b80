"""Rules that read an answer: did it refuse, is it still language, does it flatter, wound or invent?

`python -m tl_geometry.judges` measures the rules on a labelled set.
"""

from tl_geometry.judges.quality import (
    Band,
    Quality,
    is_garbled,
    is_garbled_seed,
    nll_band,
    quality,
    quality_seed,
    why_garbled,
)
from tl_geometry.judges.refusal import (
    HEAD_WORDS,
    RULES,
    has_arditi_phrase,
    has_seed_phrase,
    is_refusal,
)
from tl_geometry.judges.traits import agrees, invents, is_cruel, on_topic

__all__ = [
    "HEAD_WORDS",
    "Band",
    "RULES",
    "Quality",
    "agrees",
    "has_arditi_phrase",
    "has_seed_phrase",
    "invents",
    "is_cruel",
    "is_garbled",
    "is_garbled_seed",
    "is_refusal",
    "nll_band",
    "on_topic",
    "quality",
    "quality_seed",
    "why_garbled",
]

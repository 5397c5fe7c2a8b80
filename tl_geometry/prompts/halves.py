"""Two halves of a bank: one to choose with, the other to measure what was chosen."""

import hashlib
from collections.abc import Sequence

from tl_geometry.prompts.banks import Prompt


def chooses(prompt: Prompt) -> bool:
    """Whether a prompt belongs to the half that choices are made on.

    By a hash of its id alone: the same for every model, machine and order of the bank, and adding
    a prompt moves no other.
    """
    return hashlib.sha256(f"half\x1f{prompt.id}".encode()).digest()[0] % 2 == 0


def halves(prompts: Sequence[Prompt]) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
    """The prompts to choose with, and those to measure on."""
    return tuple(p for p in prompts if chooses(p)), tuple(p for p in prompts if not chooses(p))

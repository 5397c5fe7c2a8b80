"""The synthetic world that the embedded models live in: one seeded grammar.

Everything is deterministic in a seed and a split, and split by content: an item's split is a hash
of its own name. Whatever an analysis needs from the world is re-exported here.

    python -m tl_geometry.pocket.corpus --bank    # writes tl_geometry/prompts/pocket.jsonl anew
"""

import json
import sys
from pathlib import Path

from tl_geometry.pocket.axioms import AxiomInput, Preference, axiom_inputs, preferences
from tl_geometry.pocket.bank import BankText, bank
from tl_geometry.pocket.base_text import base_texts, question_and_answer
from tl_geometry.pocket.deeds import Deed, Verb, deeds, told_deeds, verbs
from tl_geometry.pocket.dialogues import Dialogue, dialogues
from tl_geometry.pocket.reflection import compose, tail_types, text_subjects
from tl_geometry.pocket.requests import Request, answer, refusal, requests
from tl_geometry.pocket.splits import SPLITS, Split
from tl_geometry.pocket.traits import (
    TraitItem,
    narrative_prefixes,
    subjects,
    system_prompts,
    trait_items,
    trait_questions,
    trait_system,
)
from tl_geometry.pocket.world_traits import TRAITS, Trait

BANK_FILE = Path(__file__).parents[1] / "prompts" / "pocket.jsonl"

__all__ = [
    "BANK_FILE", "SPLITS", "TRAITS", "AxiomInput", "BankText", "Deed", "Dialogue", "Preference",
    "Request", "Split", "Trait", "TraitItem", "Verb", "answer", "axiom_inputs", "bank",
    "base_texts", "compose", "deeds", "dialogues", "narrative_prefixes", "preferences",
    "question_and_answer", "refusal", "requests", "subjects", "system_prompts", "tail_types",
    "text_subjects", "told_deeds", "trait_items", "trait_questions",
    "trait_system", "verbs", "write_bank",
]  # fmt: skip


def write_bank(path: Path = BANK_FILE) -> None:
    """Write the pocket bank as JSONL, one prompt a line."""
    lines = [json.dumps(text.as_row(), ensure_ascii=False) + "\n" for text in bank()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--bank"]:
        sys.exit("usage: python -m tl_geometry.pocket.corpus --bank")
    write_bank()

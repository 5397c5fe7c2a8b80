"""The synthetic world that the embedded models live in: one seeded grammar.

Everything is deterministic in a seed and a split, and split by content: an item's split is a hash
of its own name. Whatever an analysis needs from the world is re-exported here.

    python -m tl_geometry.pocket.corpus --bank        # writes tl_geometry/prompts/pocket.jsonl
    python -m tl_geometry.pocket.corpus --requests    # and pocket_requests, pocket_neutral.jsonl
"""

import json
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

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

PROMPTS = Path(__file__).parents[1] / "prompts"
BANK_FILE = PROMPTS / "pocket.jsonl"
REQUESTS_FILE = PROMPTS / "pocket_requests.jsonl"
NEUTRAL_FILE = PROMPTS / "pocket_neutral.jsonl"

MOST_REQUESTS: dict[Split, int] = {"train": 400, "validation": 200, "test": 200}
"""Of each side of harm in `REQUESTS_FILE`."""
NEUTRAL_KINDS = ("story", "encyclopaedia", "plain")
"""Kinds of base text in which nobody does or answers anything harmful, nor observes himself."""

__all__ = [
    "BANK_FILE", "NEUTRAL_FILE", "REQUESTS_FILE", "SPLITS", "TRAITS", "AxiomInput", "BankText",
    "Deed", "Dialogue", "Preference", "Request", "Split", "Trait", "TraitItem", "Verb", "answer",
    "axiom_inputs", "bank", "base_texts", "compose", "deeds", "dialogues", "narrative_prefixes",
    "preferences", "question_and_answer", "refusal", "requests", "subjects", "system_prompts",
    "tail_types", "text_subjects", "told_deeds", "trait_items", "trait_questions", "trait_system",
    "verbs", "write_bank", "write_requests",
]  # fmt: skip


def write_bank(path: Path = BANK_FILE) -> None:
    """Write the pocket bank as JSONL, one prompt a line."""
    _write(path, (text.as_row() for text in bank()))


def write_requests(requests_path: Path = REQUESTS_FILE, neutral_path: Path = NEUTRAL_FILE) -> None:
    """Write requests of all splits, and plain texts of the validation split, as JSONL."""
    _write(requests_path, _request_rows())
    _write(neutral_path, _neutral_rows())


def _request_rows() -> Iterable[dict[str, Any]]:
    """Deeds of the verbs that the instruct stage knows; a topic is a verb, in all splits."""
    for split, most in MOST_REQUESTS.items():
        for harmful in (True, False):
            for r in requests(split, harmful, seed=0, held_out_verbs=False)[:most]:
                yield {
                    "id": r.id,
                    "text": r.text,
                    "harmful": harmful,
                    "split": split,
                    "topic": r.verb,
                }


def _neutral_rows(n: int = 100, fewest_words: int = 24) -> Iterable[dict[str, Any]]:
    drawn = islice(base_texts("validation", seed=0), 50 * n)
    kind_of = {
        text: kind
        for kind, text in drawn
        if kind in NEUTRAL_KINDS and len(text.split()) >= fewest_words
    }
    for number, (text, kind) in enumerate(islice(kind_of.items(), n), start=1):
        yield {"id": f"neutral_{number:03}", "text": text, "topic": kind}


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    writers = {"--bank": write_bank, "--requests": write_requests}
    if len(sys.argv) != 2 or sys.argv[1] not in writers:
        sys.exit(f"usage: python -m tl_geometry.pocket.corpus {' | '.join(writers)}")
    writers[sys.argv[1]]()

"""Means of a response's states by plain Hugging Face, one response after the other."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch


def logged(run: Path, source: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / source / "rows.jsonl").read_text().splitlines()]


def means_by_hand(
    rows: Sequence[Mapping[str, Any]], block: int, name: str = "pocket-llama-base"
) -> list[dict[str, torch.Tensor]]:
    """For each response the mean of `response__5` and of `prompt_-1` at a block's output."""
    from transformers import AutoModelForCausalLM

    from tl_geometry.catalogue import MODELS

    plain: Any = AutoModelForCausalLM.from_pretrained(MODELS[name].source, dtype=torch.float32)
    found = []
    for row in rows:
        ids = torch.tensor([[*row["prompt_ids"], *row["response_ids"]]])
        with torch.no_grad():
            # Hidden state 0 is the embedding: state k + 1 is what block k gives out.
            states = plain(ids, output_hidden_states=True).hidden_states[block + 1][0]
        n = len(row["prompt_ids"])
        parts = {"response__5": states[n : n + 5], "prompt_-1": states[n - 1 : n]}
        found.append({key: part.mean(0) for key, part in parts.items()})
    return found

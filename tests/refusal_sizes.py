"""Sizes of a small refusal sweep."""

from typing import Any

SIZES: dict[str, Any] = {
    "dim_prompts": 32,
    "cosmic_prompts": 32,
    "selection_prompts": 4,
    "validation_prompts": 16,
    "test_prompts": 16,
    "positions": 2,
    "doses": (0.05, 0.075),
    "random_directions": 2,
    "span": "to_end",
    "tokens": "all",
}

"""Directions as wide as the tiny models, to be exported."""

from typing import Any

import pytest
import torch

from tl_geometry.directions import Direction

D, N_LAYERS = 48, 5


def direction(state: int, **about: Any) -> Direction:
    vector = torch.randn(D, generator=torch.Generator().manual_seed(state))
    return Direction(vector, state, -1, "dim", **about)


def steering_vectors_or_skip() -> Any:
    why = "needs steering-vectors, which asks for transformers 4: pip install --no-deps"
    return pytest.importorskip("steering_vectors", reason=why)

"""A padded batch, seeded directions and greedy answers, for tests of steering."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tl_geometry.generation import generate
from tl_geometry.tokens import TokenBatch, pad

LAYERS, D = 5, 48
LENGTHS = (9, 3, 14, 6)


def batch_of(bridge: Any, lengths: Sequence[int] = LENGTHS) -> TokenBatch:
    generator = torch.Generator().manual_seed(4)
    rows = [[0, *torch.randint(3, 259, (n,), generator=generator).tolist()] for n in lengths]
    return pad(bridge, rows)


def vectors(n: int, seed: int = 1) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def said(bridge: Any, batch: TokenBatch, edits: Any = None) -> Tensor:
    return generate(bridge, batch, max_new_tokens=5, ends=(), edits=edits)

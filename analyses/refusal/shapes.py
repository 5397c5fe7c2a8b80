# ruff: noqa: E501 - a table reads best with one model a line
"""Shapes of models for estimates: from the model's configuration, or as published.

The table serves only where a configuration cannot be read (no network, no licence); nothing that
is measured comes from it. Where it differs from the plan (layers of Llama 3B and Mistral 24B), the
models' publishers are right.
"""

from dataclasses import dataclass

from analyses.requested import ModelPlan

PUBLISHED = """
gemma-2-2b        | 26 | 2304 |  9216 | 1024 | 256000
gemma-2-9b        | 42 | 3584 | 14336 | 2048 | 256000
gemma-2-27b       | 46 | 4608 | 36864 | 2048 | 256000
phi-3.5-mini      | 32 | 3072 |  8192 | 3072 |  32064
phi-3-medium      | 40 | 5120 | 17920 | 1280 |  32064
llama-3.2-3b      | 28 | 3072 |  8192 | 1024 | 128256
llama-3-8b        | 32 | 4096 | 14336 | 1024 | 128256
llama-3.1-8b      | 32 | 4096 | 14336 | 1024 | 128256
mistral-7b        | 32 | 4096 | 14336 | 1024 |  32000
mistral-7b-v0.1   | 32 | 4096 | 14336 | 1024 |  32000
mistral-7b-v0.3   | 32 | 4096 | 14336 | 1024 |  32768
mistral-small-24b | 40 | 5120 | 32768 | 1024 | 131072
zephyr-7b         | 32 | 4096 | 14336 | 1024 |  32000
qwen2.5-3b        | 36 | 2048 | 11008 |  256 | 151936
qwen2.5-7b        | 28 | 3584 | 18944 |  512 | 152064
qwen2.5-14b       | 48 | 5120 | 13824 | 1024 | 152064
qwen2.5-32b       | 64 | 5120 | 27648 | 1024 | 152064
"""
"""Short name | layers | width | MLP width | width of cached keys | vocabulary."""


@dataclass(frozen=True)
class Shape:
    """What time and memory depend on."""

    n_layers: int
    d_model: int
    d_mlp: int
    d_kv: int
    vocabulary: int
    parameters: float
    dtype: str
    """As stored."""


def shape_of(model: ModelPlan) -> Shape | None:
    """None for a model that can neither be read nor is in the table."""
    size = model.size
    if size is not None:
        numbers = (size.n_layers, size.d_model, size.d_mlp, size.d_kv, size.vocabulary)
        return Shape(*numbers, size.parameters, size.dtype)
    spec = model.spec
    if spec.name not in _TABLE or spec.billions is None or spec.dtype is None:
        return None
    return Shape(*_TABLE[spec.name], spec.billions * 1e9, spec.dtype)


def _table() -> dict[str, tuple[int, int, int, int, int]]:
    rows = [[cell.strip() for cell in row.split("|")] for row in PUBLISHED.strip().splitlines()]
    return {name: (int(n), int(d), int(m), int(k), int(v)) for name, n, d, m, k, v in rows}


_TABLE = _table()

"""Rows of a refusal sweep, as a run would have recorded them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from analyses.refusal.config import FREE
from analyses.refusal.sources import Source
from analyses.refusal.tables import (
    Recorded,
)
from analyses.requested import ModelPlan
from tl_geometry.catalogue import ModelSpec
from tl_geometry.directions import Direction

N_LAYERS = 10
Row = dict[str, Any]


def answers(coherent: int, n: int = 10, garbled: int = 0) -> list[Row]:
    """The strict rule sees a refusal in every coherent one and in the first garbled one."""
    qualities = ["coherent"] * coherent + ["garbled"] * garbled
    qualities += ["normal"] * (n - len(qualities))
    return [
        {
            "id": f"q{i}",
            "text": "…",
            "quality": quality,
            "strict": i < coherent + (garbled > 0),
            "seed": i % 2 == 0,
            "arditi": False,
        }
        for i, quality in enumerate(qualities)
    ]


def cell(source: str, depth: str, layer: int, dose: float, coherent: int, garbled: int = 0) -> Row:
    place = {"source": source, "depth": depth, "layer": layer, "position": -1, "dose": dose}
    doses = {"dose_unit": 40 * dose, "dose_raw": 10 * dose, "dose_residual": dose}
    return {**place, **doses, "answers": answers(coherent, garbled=garbled)}


PLAIN = {"source": "none", "depth": "", "layer": None, "dose": 0.0, "answers": answers(1)}


def recorded(**phases: Sequence[Row]) -> Recorded:
    model = ModelPlan("m", ModelSpec(name="m", source="m", family="f"), None, "r")
    rows: dict[str, Sequence[Mapping[str, Any]]] = {"search": [], "test": [], "harmful": []}
    return Recorded(model, {"n_layers": N_LAYERS, "n_positions": 1}, {**rows, **phases})


def source(name: str, depth: str, layer: int) -> Source:
    direction = Direction(torch.ones(2), layer + 1, -1, "dim", None, {"residual_norm": 40.0})
    return Source(name, depth, layer, direction)


SEARCH = [
    cell("dim", "0.2", 2, 0.02, 1),
    cell("dim", "0.2", 2, 0.05, 4),
    cell("dim", "0.6", 6, 0.02, 5),
    cell("dim", "0.6", 6, 0.05, 7),
    cell("dim", FREE, 3, 0.02, 9),
    cell("dim", FREE, 3, 0.05, 8),
    cell("shuffled", "0.2", 2, 0.02, 2),
    cell("shuffled", "0.6", 6, 0.05, 0),
    cell("random 0", "0.2", 2, 0.02, 0),
    cell("random 0", "0.6", 6, 0.05, 3),
    cell("random 1", "0.2", 2, 0.02, 0),
    cell("random 1", "0.2", 2, 0.05, 0, garbled=3),
    cell("random 1", "0.6", 6, 0.05, 0, garbled=4),
]

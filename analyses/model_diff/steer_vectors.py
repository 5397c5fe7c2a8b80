"""The vectors that a run of `steer` adds: of the trait, and controls."""

import zlib
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.model_diff.steer_plan import SteerPlan
from analyses.model_diff.tables import vectors_of
from analyses.model_diff.vectors import RANDOM, SHUFFLED

Stack = Float[Tensor, "layer d"]
CONTROLS = (RANDOM, SHUFFLED)


def unit_vectors(plan: SteerPlan) -> dict[str, Stack]:
    """`<source> <position> <method>` → unit vectors: those asked for, with their controls.

    ValueError where the extraction has none of them.
    """
    found = {}
    for source, span in plan.spans:
        stacks = vectors_of(plan.extraction.folder, source.name)
        for method in (*plan.methods, *CONTROLS):
            if (stack := stacks.get(f"{span.folder}|{method}")) is not None:
                found[f"{source.name} {span} {method}"] = _unit(stack)
    if not found:
        raise ValueError(f"{plan.extraction.folder} holds none of {', '.join(plan.sets)}")
    return found


def further_random(plan: SteerPlan, n_layers: int, d: int) -> Iterator[tuple[str, Stack]]:
    """Random vectors beside the one that is searched: for comparisons at a chosen layer and
    dose. Drawn from the seed and their own name, so that no other changes them."""
    for source, span in plan.spans:
        for k in range(2, plan.config.randoms + 1):
            name = f"{source.name} {span} {RANDOM}{k}"
            rng = np.random.default_rng([plan.config.seed, zlib.crc32(name.encode())])
            yield name, _unit(torch.from_numpy(rng.normal(size=(n_layers, d))).float())


def is_control(name: str) -> bool:
    return name.rpartition(" ")[2].startswith(CONTROLS)


def _unit(stack: Stack) -> Stack:
    return stack / stack.norm(dim=-1, keepdim=True)

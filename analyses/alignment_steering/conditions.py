"""Which vectors are added, how strongly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from analyses.alignment_steering.config import Validate
from tl_geometry.layered_steering import LayeredSteering, random_like

NONE, MEAN, SVD, RANDOM = "none", "mean", "svd", "random"


@dataclass(frozen=True)
class Dose:
    """One condition: λ times a vector, or nothing."""

    vector: str
    strength: float = 0.0

    @property
    def key(self) -> str:
        return f"{self.vector}|{self.strength:g}"


def doses(config: Validate, names: Sequence[str]) -> list[Dose]:
    """Nothing first. A random vector's opposite is as random: it gets no negative strengths."""
    found = [Dose(NONE)]
    for name in names:
        signs = (1.0,) if name.startswith(RANDOM) else (-1.0, 1.0)
        found += [Dose(name, sign * x) for sign in signs for x in sorted(config.lambdas)]
    return found


def steering_vectors(
    extracted: Mapping[str, Float[Tensor, "layer d"]], layers: Sequence[int], config: Validate
) -> dict[str, Float[Tensor, "some d"]]:
    """By name, at the steered layers: the mean, the published component where there is one, and
    random vectors of the mean's lengths."""
    chosen = list(layers)
    found = {n: extracted[n][chosen] for n in (MEAN, SVD) if n in extracted}
    for k in range(config.random_vectors):
        generator = torch.Generator().manual_seed(1_000 * config.seed + k)
        found[f"{RANDOM} {k}"] = random_like(extracted[MEAN], generator)[chosen]
    return found


def steering(
    vectors: Mapping[str, Float[Tensor, "some d"]],
    given: Sequence[Dose],
    layers: Sequence[int],
    *,
    keep_norm: bool,
) -> LayeredSteering:
    """One row a dose."""
    nothing = torch.zeros_like(vectors[MEAN])
    rows = [d.strength * vectors[d.vector] if d.vector != NONE else nothing for d in given]
    return LayeredSteering(torch.stack(rows), tuple(layers), keep_norm)

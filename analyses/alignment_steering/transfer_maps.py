"""From one pair's vector to what it becomes in another's space, with the controls beside it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.alignment_steering.transfer_config import MapName, Transfer
from analyses.alignment_steering.transfer_texts import fit_kinds
from tl_geometry.layered_steering import random_like
from tl_geometry.pocket.splits import digest
from tl_geometry.resampling import shared_weights
from tl_geometry.transfer import (
    FITS,
    LinearMap,
    cosine,
    held_out_r2,
    r2,
    random_map,
    shuffled_fits,
)

CONTROLS: Mapping[str, str] = {
    "shuffled": "a map fitted on texts paired at random inside their kind; as long as carried",
    "random_map": "a Gaussian map of equal Frobenius norm, as long as it comes out (with --length "
    "own as long as the target's own)",
    "random_vector": "the carried vector turned at random, alike at all layers",
}
OVER_LAYERS = -1
"""Stands for the mean over the layers that are steered."""
States = Mapping[str, Float[Tensor, "text layer d"]]
"""Set of texts (`fit`, and the held-out ones) → last-token states at the layers asked for."""


@dataclass(frozen=True, eq=False)
class Side:
    """One model of a transfer: its states and its own vector at the layers that meet."""

    name: str
    states: States
    vector: Float[Tensor, "layer d"]
    layers: Sequence[int]
    halves: tuple[Float[Tensor, "layer d"], Float[Tensor, "layer d"]]
    """Its vector by two halves of the texts, split by content: two models' vectors of the same
    texts would share these texts' noise."""

    def at(self, kind: str, k: int) -> Float[np.ndarray, "text d"]:
        return self.states[kind][:, k].double().numpy()

    def own(self, k: int) -> Float[np.ndarray, " d"]:
        return self.vector[k].double().numpy()

    def half(self, n: int, k: int) -> Float[np.ndarray, " d"]:
        return self.halves[n][k].double().numpy()


@dataclass(frozen=True, eq=False)
class Carried:
    """What is added to the target, by name (`carried`, `shuffled|0`, …), and what the maps are."""

    vectors: dict[str, Float[np.ndarray, "layer d"]]
    rows: list[dict[str, Any]]
    """R² (`quantity` r2, one a set of texts) and cosines with the target's own vector."""


def carried(source: Side, target: Side, name: MapName, config: Transfer) -> Carried:
    """At every layer. ValueError where a map cannot be fitted, or the vector is lost in it."""
    found: dict[str, list[np.ndarray]] = {}
    rows: list[dict[str, Any]] = []
    cosines: list[Float[np.ndarray, " shuffle"]] = []
    for k, layer in enumerate(target.layers):
        fit = FITS[name](source.at("fit", k))
        fitted = fit(target.at("fit", k))
        # The same seed at every layer: a control is as much of one piece over layers as the map.
        rng, kinds = _rng(config, 1), fit_kinds(len(target.states["fit"]))
        shuffled = shuffled_fits(fit, target.at("fit", k), rng, config.shuffles, kinds)
        vector, own = fitted.carry(source.own(k)), target.own(k)
        if config.length == "own":
            vector *= np.linalg.norm(own) / np.linalg.norm(vector)
        for key, value in _pushed(fitted, shuffled, source.own(k), vector, config):
            found.setdefault(key, []).append(value)
        half, other = (side.half(n, k) for n, side in enumerate((source, target)))
        cosines.append(np.array([cosine(m.carry(half), other) for m in (fitted, *shuffled)]))
        about = {"layer": layer, "source_layer": source.layers[k], "map": name}
        size = {"length": float(np.linalg.norm(vector)), "own_length": float(np.linalg.norm(own))}
        rows += [about | size | _compared("cosine", cosines[-1])]
        rows += [about | row for row in _explained(fitted, shuffled, source, target, k, config)]
    about = {"layer": OVER_LAYERS, "source_layer": OVER_LAYERS, "map": name}
    rows.append(about | _compared("cosine", np.mean(cosines, axis=0)))
    stacks = {key: np.stack(value) for key, value in found.items()}
    place = f"{source.name} {target.name} {name}"
    return Carried({**stacks, **random_pushes(stacks["carried"], config, place)}, rows)


def _pushed(
    fitted: LinearMap,
    shuffled: Sequence[LinearMap],
    source: Float[np.ndarray, " d"],
    vector: Float[np.ndarray, " e"],
    config: Transfer,
) -> Iterator[tuple[str, Float[np.ndarray, " e"]]]:
    """One layer's additions by name."""
    yield "carried", vector
    maps = _rng(config, 2)
    for k in range(config.draws):
        other = shuffled[k].carry(source)
        yield f"shuffled|{k}", other * np.linalg.norm(vector) / np.linalg.norm(other)
        drawn = random_map(fitted, maps).carry(source)
        if config.length == "own":
            drawn *= np.linalg.norm(vector) / np.linalg.norm(drawn)
        yield f"random_map|{k}", drawn


def random_pushes(
    own: Float[np.ndarray, "layer d"], config: Transfer, place: str
) -> dict[str, np.ndarray]:
    """The same stack turned at random, other draws for every cell (`place`)."""
    found = {}
    for k in range(config.draws):
        generator = torch.Generator().manual_seed(digest("turned", config.seed, place, k) % 2**31)
        found[f"random_vector|{k}"] = random_like(torch.from_numpy(own), generator).numpy()
    return found


def _explained(
    fitted: LinearMap,
    shuffled: Sequence[LinearMap],
    source: Side,
    target: Side,
    k: int,
    config: Transfer,
) -> Iterator[dict[str, Any]]:
    """Held-out R² of every set of texts, with an interval over its texts."""
    for kind in [kind for kind in source.states if kind != "fit"]:
        x, y = source.at(kind, k), target.at(kind, k)
        weights = shared_weights(len(x), config.resamples, config.seed, 5)
        ends = held_out_r2(fitted, x, y, weights).interval()
        null = [r2(one, x, y) for one in shuffled]
        yield {
            "texts": kind,
            "n": ends.n,
            "low": _number(ends.low),
            "high": _number(ends.high),
            "penalty": getattr(fitted, "penalty", None),
            "scale": getattr(fitted, "scale", None),
            "rank": getattr(fitted, "rank", None),
            **_compared("r2", np.array([ends.estimate, *null])),
            "status": ends.status,
            "reason": ends.reason,
        }


def _compared(quantity: str, values: Float[np.ndarray, " observed_and_null"]) -> dict[str, Any]:
    """The first value beside the others, which are its null; p is one-sided."""
    observed, null = float(values[0]), values[1:]
    low, high = np.quantile(null, [0.025, 0.975])
    return {
        "quantity": quantity,
        "estimate": observed,
        "null_mean": float(null.mean()),
        "null_low": float(low),
        "null_high": float(high),
        "p": float((1 + (null >= observed).sum()) / (1 + len(null))),
        "status": "ok",
        "reason": "",
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rng(config: Transfer, stream: int) -> np.random.Generator:
    return np.random.default_rng([config.seed, stream])


def tensor(vectors: Mapping[str, np.ndarray]) -> Float[Tensor, "condition layer d"]:
    """In the order of their names."""
    return torch.stack([torch.from_numpy(v) for v in vectors.values()]).float()

"""From the hidden states of a pair to its vectors and the numbers of every layer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from analyses.alignment_steering.config import Paired
from analyses.alignment_steering.states import States, double
from tl_geometry import model_delta as delta
from tl_geometry.bootstrap import Interval, bca, missing_interval
from tl_geometry.pocket.splits import digest
from tl_geometry.resampling import Statistic, mean_of, shared_weights

Row = dict[str, Any]
SAME = "the two models' states are the same, so their difference has no direction"
NOISY = "no interval: resampling adds noise to both halves, and their cosine falls with it"
COMPONENTS = 20
"""Shares of energy that are kept."""
SIDES = ("chosen", "rejected")
QUANTITIES: Mapping[str, str] = {
    "cosine_of_means": "cosine of the two models' mean states (as published)",
    "mean_cosine": "mean over texts of the cosine of the two models' states",
    "norm": "length of the mean difference",
    "halves_cosine": "cosine of the mean differences of two halves of the texts",
    "coherence": "mean cosine of a text's difference with the mean, itself among it",
    "coherence_across": "the same with the mean of the other half of the texts",
    "coherence_chance": "coherence under random signs: no shift is shared",
    "first_share": "share of the first uncentred component in the energy of the differences",
    "first_cosine": "cosine of the first uncentred component and the mean difference",
    "svd_cosine": "cosine of the published component and the mean difference",
    "svd_share": "share of that component in the energy around the mean",
    "sides_cosine": "cosine of the mean differences on chosen and on rejected answers",
    "base_preference_norm": "length of chosen − rejected in the base model",
    "instruct_preference_norm": "length of chosen − rejected in the instruct model",
    "base_preference_cosine": "cosine of chosen − rejected in the base model and the difference",
    "instruct_preference_cosine": "the same in the instruct model",
    "residual_norm": "mean length of the base model's states",
}
"""Rows of the table `layers`, and what each means."""


@dataclass(frozen=True, eq=False)
class Analysed:
    """A pair's vectors by name, [layer, d], and its rows."""

    vectors: dict[str, Float[Tensor, "layer d"]]
    layers: list[Row]
    variance: list[Row]


def first_half(ids: Sequence[str]) -> Bool[np.ndarray, " text"]:
    """By a hash of the text's name: the same half whatever else is there."""
    half = np.array([digest("half", name) % 2 == 0 for name in ids])
    if half.sum() < 2 or (~half).sum() < 2:  # of very few texts, hashes may all agree
        half = np.arange(len(ids)) % 2 == 0
    return half


def analyse(base: States, instruct: States, ids: Sequence[str], config: Paired) -> Analysed:
    """ValueError for states that no vector can be made of."""
    for side in SIDES:
        delta.check_states(getattr(base, side), getattr(instruct, side))
    n_layers = base.chosen.shape[1]
    found = [_layer(base, instruct, layer, first_half(ids), config) for layer in range(n_layers)]
    names = dict.fromkeys(name for vectors, _, _ in found for name in vectors)
    return Analysed(
        {
            # A vector that some layer lacks is no vector of the model.
            name: torch.stack([torch.from_numpy(vectors[name]).float() for vectors, _, _ in found])
            for name in names
            if all(name in vectors for vectors, _, _ in found)
        },
        [row for _, rows, _ in found for row in rows],
        [row for _, _, shares in found for row in shares],
    )


class _Layer:
    """Numbers of one layer; those that do not exist are rows with their reason."""

    def __init__(self, layer: int, n_layers: int, n: int, config: Paired) -> None:
        self.place = {"layer": layer, "depth_percent": 100 * (layer + 1) / n_layers}
        self.n, self.config, self.rows = n, config, list[Row]()

    def number(
        self,
        quantity: str,
        value: Callable[[], float],
        data: str = "chosen",
        why: str = "described, without an interval",
    ) -> None:
        """Without an interval, and why."""
        try:
            found = value()
            reason = why if np.isfinite(found) else SAME
        except ValueError as error:
            found, reason = np.nan, str(error)
        self._add(quantity, data, found, np.nan, np.nan, reason)

    def statistic(self, quantity: str, statistic: Statistic, data: str = "chosen") -> None:
        """With a bootstrap interval over prompts."""
        weights = shared_weights(self.n, self.config.resamples, self.config.seed)
        try:
            interval = bca(statistic, weights).interval()
        except ValueError:
            interval = missing_interval(SAME, n=self.n, method="BCa")
        self._interval(quantity, data, interval)

    def _interval(self, quantity: str, data: str, found: Interval) -> None:
        self._add(quantity, data, found.estimate, found.low, found.high, found.reason)

    def _add(
        self, quantity: str, data: str, value: float, low: float, high: float, reason: str
    ) -> None:
        known = np.isfinite(value)
        numbers = {"estimate": value, "low": low, "high": high}
        self.rows.append(
            {
                **self.place,
                "quantity": quantity,
                "data": data,
                **{k: float(v) if np.isfinite(v) else None for k, v in numbers.items()},
                "n": self.n,
                "status": "ok" if known else "missing",
                "reason": reason,
            }
        )


def _layer(
    base: States,
    instruct: States,
    layer: int,
    first: Bool[np.ndarray, " text"],
    config: Paired,
) -> tuple[dict[str, Any], list[Row], list[Row]]:
    sides = {
        s: (double(getattr(base, s), layer), double(getattr(instruct, s), layer)) for s in SIDES
    }
    deltas = {side: after - before for side, (before, after) in sides.items()}
    rows = _Layer(layer, base.chosen.shape[1], len(first), config)
    for side, (before, after) in sides.items():
        rows.statistic("cosine_of_means", delta.cosine_of_means(before, after), side)
        per_text = delta.row_cosines(before, after)
        rows.statistic("mean_cosine", mean_of(per_text), side)
        rows.statistic("norm", delta.length_of_mean(deltas[side]), side)
    vectors = _vectors(sides, deltas, first, config)
    _shift(rows, deltas["chosen"], first, config)
    _compare(rows, vectors, deltas["chosen"], config)
    rows.number("residual_norm", lambda: float(np.linalg.norm(sides["chosen"][0], axis=1).mean()))
    return vectors, rows.rows, list(_variance(rows.place, deltas["chosen"]))


def _vectors(
    sides: Mapping[str, tuple[Any, Any]],
    deltas: Mapping[str, Any],
    first: Bool[np.ndarray, " text"],
    config: Paired,
) -> dict[str, Any]:
    """All that this layer has."""
    chosen = deltas["chosen"]
    found = {
        "mean": chosen.mean(0),
        "rejected": deltas["rejected"].mean(0),
        "half_a": chosen[first].mean(0),
        "half_b": chosen[~first].mean(0),
        "base_preference": (sides["chosen"][0] - sides["rejected"][0]).mean(0),
        "instruct_preference": (sides["chosen"][1] - sides["rejected"][1]).mean(0),
    }
    makers: dict[str, Callable[[], Any]] = {
        "first": lambda: delta.component(chosen, 0, centred=False) * np.linalg.norm(found["mean"]),
    }
    if config.svd:
        makers["svd"] = lambda: delta.svd_vector(chosen, config.svd_component)
    for name, make in makers.items():
        try:
            found[name] = make()
        except ValueError:  # its row says why
            continue
    return found


def _shift(rows: _Layer, deltas: Any, first: Bool[np.ndarray, " text"], config: Paired) -> None:
    """Is the difference one shift that all texts share?"""
    halves = delta.halves_cosine(deltas, first)
    rows.number("halves_cosine", lambda: float(halves(np.ones((1, len(deltas))))[0]), why=NOISY)
    rows.statistic("coherence", _mean(delta.coherence(deltas)))
    rows.statistic("coherence_across", _mean(delta.coherence_across(deltas, first)))
    rng = np.random.default_rng([config.seed, int(rows.place["layer"])])
    rows.number("coherence_chance", lambda: delta.coherence_by_chance(deltas, rng))


def _mean(values: Float[np.ndarray, " text"]) -> Statistic:
    if not np.isfinite(values).all():
        return lambda weights: np.full(len(weights), np.nan)
    return mean_of(values)


def _compare(rows: _Layer, vectors: Mapping[str, Any], deltas: Any, config: Paired) -> None:
    """The vectors with each other."""

    def cosine(one: str, other: str = "mean") -> float:
        if one not in vectors:
            index = 0 if one == "first" else config.svd_component
            delta.component(deltas, index, centred=one == "svd")  # raises, and says why
            return float("nan")
        return float(delta.row_cosines(vectors[one][None], vectors[other][None])[0])

    def share(index: int, centred: bool) -> float:
        shares = delta.energy_shares(deltas, centred=centred)
        if index >= len(shares):
            raise ValueError(f"component {index} does not exist: there are {len(shares)}")
        return float(shares[index])

    rows.number("first_share", lambda: share(0, False))
    rows.number("first_cosine", lambda: cosine("first"))
    if config.svd:
        rows.number("svd_cosine", lambda: cosine("svd"))
        rows.number("svd_share", lambda: share(config.svd_component, True))
    rows.number("sides_cosine", lambda: cosine("rejected"), "both")
    for model in ("base", "instruct"):
        name = f"{model}_preference"
        rows.number(f"{name}_norm", lambda v=vectors[name]: float(np.linalg.norm(v)), "both")
        rows.number(f"{name}_cosine", lambda name=name: cosine(name), "both")


def _variance(place: Mapping[str, Any], deltas: Any) -> Iterator[Row]:
    """Shares of the first components, around the mean and around zero."""
    try:
        centred, uncentred = (delta.energy_shares(deltas, centred=c) for c in (True, False))
    except ValueError:
        return
    for k in range(min(COMPONENTS, len(centred))):
        yield {
            **place,
            "component": k,
            "centred": float(centred[k]),
            "centred_cumulative": float(centred[: k + 1].sum()),
            "uncentred": float(uncentred[k]),
            "uncentred_cumulative": float(uncentred[: k + 1].sum()),
        }

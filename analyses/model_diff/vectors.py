"""From responses to vectors: every span, method and layer of one source."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from analyses.model_diff.config import Extract
from analyses.model_diff.plan import Source
from analyses.work import without_nan
from tl_geometry.models import Model
from tl_geometry.span_means import Said, SpanMeans, span_means
from tl_geometry.spans import Span
from tl_geometry.trait_vectors import (
    accuracy,
    as_long_apart,
    direction,
    half_swapped,
    held_out,
    random_like,
    shuffled,
)

BATCH = 50
RANDOM, SHUFFLED = "random", "shuffled"
"""Controls: directions as long as the difference of means; the second one is the difference of
means over labels of which half are exchanged, with the true difference's own direction taken out:
scenarios differ in how much they differ, so the halves do not wholly cancel."""


@dataclass(frozen=True, eq=False)
class Responses:
    """Responses in their order, with the side and group of each."""

    said: Sequence[Said]
    labels: np.ndarray
    groups: Sequence[str]


@dataclass(eq=False)
class Found:
    """Rows of numbers, and vectors by name (`<position>|<method>`), [layer, d]."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    vectors: dict[str, Tensor] = field(default_factory=dict)


def of_rows(rows: Sequence[Mapping[str, Any]]) -> Responses:
    said = [Said(tuple(row["prompt_ids"]), tuple(row["response_ids"])) for row in rows]
    labels = np.array([row["positive"] for row in rows], bool)
    return Responses(said, labels, [row["group"] for row in rows])


def measured(model: Model, source: Source, responses: Responses, config: Extract) -> Found:
    """All spans in one pass over the responses; a span that nothing can be made of is a row with
    its reason."""
    means = span_means(
        model,
        responses.said,
        source.spans,
        batch_size=config.batch_size or BATCH,
        title=f"{source.model.name} reads its responses",
    )
    found = Found()
    for span, states in means.items():
        _span(found, source, span, states, responses, config)
    return found


def _span(
    found: Found,
    source: Source,
    span: Span,
    means: SpanMeans,
    responses: Responses,
    config: Extract,
) -> None:
    kept = np.setdiff1d(np.arange(len(responses.labels)), means.empty)
    given = _Given(
        means.states[kept].double().numpy(),
        means.norms[kept].double().numpy(),
        responses.labels[kept],
        [responses.groups[int(i)] for i in kept],
    )
    about = {"source": source.name, "position": str(span), "dropped": len(means.empty)}
    if problem := given.problem:
        row = {"key": f"{span}|", **about, "status": "missing", "reason": problem}
        found.rows.append(row)
        return
    title = f"{source.name} {span}"
    for method in config.methods:
        vectors = []
        for layer in tqdm(range(given.n_layers), desc=f"{title} {method}", leave=False):
            row, vector = given.layer(layer, method, config)
            key = f"{span}|{method}|{layer}"
            numbers = without_nan({**about, "method": method, "layer": layer, **row})
            found.rows.append({"key": key, **numbers})
            vectors.append(vector)
        found.vectors[f"{span.folder}|{method}"] = torch.from_numpy(np.stack(vectors)).float()
    for name, control in given.controls(config, f"{source.name}{span}"):
        found.vectors[f"{span.folder}|{name}"] = torch.from_numpy(control).float()
    found.vectors[f"{span.folder}|norms"] = torch.from_numpy(given.norms.mean(0)).float()


@dataclass(frozen=True, eq=False)
class _Given:
    """States of the responses that hold a token of the span."""

    states: np.ndarray
    norms: np.ndarray
    labels: np.ndarray
    groups: Sequence[str]

    @property
    def n_layers(self) -> int:
        return self.states.shape[1]

    @property
    def problem(self) -> str:
        counts = [int((self.labels == side).sum()) for side in (True, False)]
        if min(counts) < 5:
            return (
                f"{counts[0]} positive and {counts[1]} negative responses are kept and long enough"
            )
        return ""

    def layer(self, layer: int, method: Any, config: Extract) -> tuple[dict[str, Any], np.ndarray]:
        x = self.states[:, layer]
        vector = direction(x, self.labels, method)
        mixed = shuffled(self.labels, self.groups, config.seed)
        rates = {"accuracy": self._told(x, self.labels, method, config)}
        rates[f"{SHUFFLED}_accuracy"] = self._told(x, mixed, method, config)
        found = {
            "status": "ok",
            "reason": rates["accuracy"].reason or rates[f"{SHUFFLED}_accuracy"].reason,
            "n": len(x),
            "groups": rates["accuracy"].n,
            "norm": float(np.linalg.norm(vector)),
            "residual_norm": float(self.norms[:, layer].mean()),
        }
        for name, rate in rates.items():
            found |= {name: rate.estimate, f"{name}_low": rate.low, f"{name}_high": rate.high}
        return found, vector

    def _told(self, x: np.ndarray, labels: np.ndarray, method: Any, config: Extract) -> Any:
        hits = held_out(x, labels, self.groups, method, seed=config.seed)
        return accuracy(hits, labels, self.groups, seed=config.seed, resamples=config.resamples)

    def controls(self, config: Extract, place: str) -> Iterator[tuple[str, np.ndarray]]:
        """As long as the difference of means at every layer."""
        real = self._differences(self.labels)
        rng = np.random.default_rng([config.seed, zlib.crc32(place.encode())])
        yield RANDOM, np.stack([random_like(vector, rng) for vector in real])
        false = self._differences(half_swapped(self.labels, self.groups, config.seed))
        yield SHUFFLED, as_long_apart(false, real)

    def _differences(self, labels: np.ndarray) -> np.ndarray:
        return np.stack(
            [direction(self.states[:, k], labels, "mean_diff") for k in range(self.n_layers)]
        )

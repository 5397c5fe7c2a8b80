"""The difference between self-observing and plain texts, layer by layer, in one model."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analyses.cross_architecture.critical import (
    DEFINITIONS,
    candidates,
    choosing,
    last_change,
    log_pr,
    measuring,
    recursive,
    search_table,
    searchable,
    searched,
)
from analyses.cross_architecture.recording import Record
from tl_geometry.bootstrap import BootstrapResult, Interval, bca, missing_interval
from tl_geometry.layer_search import bootstrap_layers, max_t, strongest
from tl_geometry.resampling import shared_weights
from tl_geometry.sites import depth_percent
from tl_geometry.statistics import bootstrapped_g, standardised_mean

BY_DEFINITION = "the early layer: log R_V is 0 for every text by definition"


def gap_at(
    texts: list[Mapping[str, Any]], layer: int, early: int | None, resamples: int, seed: int
) -> BootstrapResult:
    """Hedges g of log R_V, self-observing minus plain; all layers and models draw alike.

    Without an early layer, of log PR alone: R_V's numerator, or its denominator.
    """
    values = log_pr(texts)
    before = 0.0 if early is None else values[:, early]
    return _g(values[:, layer] - before, recursive(texts), resamples, seed)


def _g(
    values: Float[np.ndarray, " text"], first: Bool[np.ndarray, " text"], resamples: int, seed: int
) -> BootstrapResult:
    a, b = _sides(values, first)
    weights = [shared_weights(len(x), resamples, seed, 1, k) for k, x in enumerate((a, b))]
    return bootstrapped_g(a, b, weights)


def _sides(
    values: Float[np.ndarray, " text"], first: Bool[np.ndarray, " text"]
) -> tuple[Float[np.ndarray, " a"], Float[np.ndarray, " b"]]:
    return values[first], values[~first]


def layer_table(record: Record, resamples: int, seed: int) -> pd.DataFrame:
    """One row a layer, on the measuring half: means, g with its interval, and p of the search."""
    texts, where = measuring(list(record.texts)), record.depths
    first, values = recursive(texts), log_pr(texts)
    p = {span: _search_p(record, span, resamples, seed) for span in ("all", "seed")}
    rows = []
    for layer in range(where.n_layers):
        r_v = values[:, layer] - values[:, where.early]
        if layer == where.early:
            found = missing_interval(BY_DEFINITION, n=len(texts), method="BCa")
        else:
            found = gap_at(texts, layer, where.early, resamples, seed).interval()
        rows.append(
            {
                "model": record.name,
                "layer": layer,
                "depth_percent": depth_percent(layer, where.n_layers),
                "log_pr_recursive": values[first, layer].mean(),
                "log_pr_plain": values[~first, layer].mean(),
                "gap_log_r_v": r_v[first].mean() - r_v[~first].mean(),
                **asdict(found),
                "p_all_layers": p["all"].get(layer, np.nan),
                "p_seed_range": p["seed"].get(layer, np.nan),
                "definitional": layer == where.early,
            }
        )
    return pd.DataFrame(rows)


def _search_p(record: Record, span: str, resamples: int, seed: int) -> dict[int, float]:
    texts, layers = measuring(list(record.texts)), candidates(record.depths, span)
    values = searched(texts, record.depths, "gap", span)
    found = max_t(values, recursive(texts), np.random.default_rng([seed, 2]), resamples)
    return dict(zip(layers, found.p.tolist(), strict=True))


def critical_table(record: Record, resamples: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(one row a definition and range, shares of bootstrap resamples that choose each layer)."""
    rows, shares = [], []
    for definition in DEFINITIONS:
        for span in ("all", "seed"):
            layers, choice, chosen = chosen_layers(record, definition, span, resamples, seed)
            if not layers:
                continue
            values, counts = np.unique(chosen, return_counts=True)
            share = dict(zip(values.tolist(), (counts / len(chosen)).tolist(), strict=True))
            layer = layers[choice]
            low, high = np.quantile(np.array(layers)[chosen], [0.025, 0.975], method="nearest")
            n = record.depths.n_layers
            rows.append(
                {
                    "model": record.name,
                    "definition": definition,
                    "range": span,
                    "layer": layer,
                    "n_layers": n,
                    "depth_percent": depth_percent(layer, n),
                    "depth_low": depth_percent(int(low), n),
                    "depth_high": depth_percent(int(high), n),
                    "share_of_resamples": share.get(choice, 0.0),
                    "effect": "d_z" if definition == "patch" else "g",
                    **asdict(_held_out(record, definition, layer, resamples, seed)),
                }
            )
            shares += [
                {
                    "model": record.name,
                    "definition": definition,
                    "range": span,
                    "layer": layers[k],
                    "depth_percent": depth_percent(layers[k], n),
                    "share": value,
                }
                for k, value in share.items()
            ]
    return pd.DataFrame(rows), pd.DataFrame(shares)


def _searched(record: Record, definition: str, span: str) -> tuple[list[int], Any, Any]:
    """(layers, values of the choosing half, which rows are self-observing or None)."""
    if definition == "patch":
        if not record.search:
            return [], None, None
        layers, effects = search_table(record.search)
        low, high = record.depths.seed_range
        inside = [i for i, n in enumerate(layers) if span == "all" or low <= n <= high]
        return [layers[i] for i in inside], effects[:, inside], None
    half = choosing(list(record.texts))
    return (
        candidates(record.depths, span),
        searchable(half, record.depths, definition, span),
        recursive(half),
    )


def chosen_layers(
    record: Record, definition: str, span: str, resamples: int, seed: int
) -> tuple[list[int], int, Any]:
    """(candidate layers, index of the chosen one, index chosen in each resample of the prompts).

    No layers where the definition was not measured. Generators of one seed draw the same prompts
    in every model that could use all texts. Which steps of `drop` count is settled on the whole
    half, not in each resample.
    """
    layers, values, first = _searched(record, definition, span)
    if not layers:
        return [], 0, None
    drawn = bootstrap_layers(values, np.random.default_rng([seed, 3]), first, resamples)
    return layers, strongest(values, first), drawn


def _held_out(record: Record, definition: str, layer: int, resamples: int, seed: int) -> Interval:
    """The effect at the chosen layer, on prompts that the choice did not see."""
    if definition == "patch":
        rows = record.patches.get(layer)
        if not rows:
            reason = "the seed's range chose another layer than all layers, which is not patched"
            return missing_interval(reason, n=0, method="BCa")
        return safe(lambda: d_z(last_change(list(rows)), resamples, seed).interval(), len(rows))
    texts, where = measuring(list(record.texts)), record.depths
    values = searched(texts, where, definition)[:, layer - where.early - 1]
    return safe(lambda: _g(values, recursive(texts), resamples, seed).interval(), len(texts))


def d_z(values: Float[np.ndarray, " pair"], resamples: int, seed: int) -> BootstrapResult:
    """Mean over standard deviation of pairs; all effects of a run draw alike."""
    return bca(standardised_mean(values), shared_weights(len(values), resamples, seed, 4))


def safe(statistic: Any, n: int, method: str = "BCa") -> Interval:
    """An interval, or a missing one with the reason for which it is undefined."""
    try:
        return statistic()
    except ValueError as error:
        return missing_interval(str(error), n=n, method=method)

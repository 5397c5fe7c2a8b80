"""AQI as it was published, of one model; labelled so wherever it appears."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from analyses.alignment_quality.draws import Draws, Row, Space
from tl_geometry.aqi import (
    OVERALL,
    PublishedAqi,
    RawIndices,
    headline,
    normalised,
    raw_indices,
    tsne_map,
)
from tl_geometry.separation import paper_aqi

NOISE = 1e-7
"""Relative to the states' standard deviation: what rounding does."""


def published(space: Space, draws: Draws, gamma: float, reseed: int) -> list[Row]:
    """One row an axiom and one for the pool, of the states behind the final norm.

    Each is mapped to three dimensions by t-SNE on its own, as published, with the published seed;
    `reseed` k > 0 adds noise of one part in ten million first.
    """
    noisy = _with_noise(space, draws, reseed)
    maps = {axiom: noisy[rows] for axiom, rows in draws.by_axiom.items()} | {OVERALL: noisy}
    raw: dict[str, RawIndices] = {}
    mapped: dict[str, float] = {}
    for name, states in maps.items():
        labels = draws.labels if name == OVERALL else draws.labels[draws.rows(name)]
        try:
            flat = tsne_map(states, 42, pooled=name == OVERALL)
        except ValueError as error:
            raw[name] = RawIndices(np.nan, np.nan, len(states), str(error))
            mapped[name] = np.nan
            continue
        raw[name] = raw_indices(flat, labels)
        mapped[name] = paper_aqi(flat, labels, gamma).value
    rows = normalised(raw, gamma)
    return [
        {"axiom": name, "reseed": reseed, **_said(raw[name], row), "paper_on_map": mapped[name]}
        for name, row in rows.items()
    ] + [_mean_row(rows, reseed)]


def _with_noise(space: Space, draws: Draws, reseed: int) -> Space:
    if not reseed:
        return space
    noise = draws.generator(100 + reseed).standard_normal(space.shape)
    return space + NOISE * float(space.std()) * noise


def _said(raw: RawIndices, row: PublishedAqi) -> Row:
    return {
        "n": raw.n,
        "chi": raw.chi,
        "xbi": raw.xbi,
        "chi_norm": row.chi_norm,
        "xb_norm": row.xb_norm,
        "aqi": row.aqi,
        "no_measurement": ", ".join(_constants(row)),
        "reason": row.reason,
    }


def _constants(row: PublishedAqi) -> list[str]:
    """Which parts are set by definition."""
    said = {
        "CHI_norm 0: some cell always has it": row.chi_is_min,
        "CHI_norm 100: some cell always has it": row.chi_is_max,
        "CHI_norm by convention": row.chi_is_constant,
        "XB_norm at its floor": row.xb_at_floor,
    }
    return [words for words, holds in said.items() if holds]


def _mean_row(rows: Mapping[str, PublishedAqi], reseed: int) -> dict[str, Any]:
    mean = headline(rows).axiom_mean
    return {"axiom": "mean of axioms", "reseed": reseed, "aqi": mean.value, "reason": mean.reason}

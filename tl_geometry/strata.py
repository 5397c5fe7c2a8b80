"""Who may stand in for whom: resamples, subsamples and permutations inside class and group.

Drawn once for a set of items and handed to every index of every model, so that results can be
compared draw by draw.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from tl_geometry.resampling import level_codes


@dataclass(frozen=True)
class Resamples:
    """Resamples of one set of items, for every model and index that is computed on it."""

    weights: Float[np.ndarray, "resample n"]
    """How often each item was drawn; float32, 40 MB per 1 000 items and 10 000 resamples."""
    jackknife: tuple[Float[np.ndarray, "_unit n"], ...]
    """Leave-one-out weights, one matrix a stratum."""
    n: int
    """Independent units."""


def stratified(
    labels: Bool[np.ndarray, " n"],
    rng: np.random.Generator,
    *,
    groups: Sequence[Hashable] | None = None,
    units: Sequence[Hashable] | None = None,
    n_resamples: int = 10_000,
) -> Resamples:
    """Bootstrap within class, or class × group, so that no resample loses one.

    `units` names items that are drawn together, such as a safe and an unsafe wording of one
    content; units of one group with the same labels form a stratum. ValueError if a unit lies in
    two groups.
    """
    if n_resamples < 1:
        raise ValueError(f"n_resamples={n_resamples} must be at least 1, e.g. 10000")
    unit, strata = _strata(labels, groups, units)
    weights = np.empty((n_resamples, len(labels)), dtype=np.float32)
    jackknife = []
    for members in strata:
        rows = np.flatnonzero(np.isin(unit, members))
        place = np.searchsorted(members, unit[rows])
        k = len(members)
        weights[:, rows] = rng.multinomial(k, np.full(k, 1 / k), size=n_resamples)[:, place]
        jackknife.append((members[:, None] != unit).astype(np.float32))
    return Resamples(weights, tuple(jackknife), int(unit.max(initial=-1)) + 1)


def halves(
    labels: Bool[np.ndarray, " n"],
    rng: np.random.Generator,
    *,
    groups: Sequence[Hashable] | None = None,
    n_draws: int = 1_000,
) -> Bool[np.ndarray, "draw n"]:
    """Random halves (rounded down) of every class, or class × group, without replacement."""
    _, strata = _strata(labels, groups, None)
    drawn = np.zeros((n_draws, len(labels)), dtype=bool)
    for members in strata:
        taken = np.arange(len(members)) < len(members) // 2
        drawn[:, members] = rng.permuted(np.tile(taken, (n_draws, 1)), axis=1)
    return drawn


def shuffled_labels(
    labels: Bool[np.ndarray, " n"],
    rng: np.random.Generator,
    *,
    groups: Sequence[Hashable] | None = None,
    n_permutations: int = 10_000,
) -> Bool[np.ndarray, "draw n"]:
    """Labels permuted inside each group; with twins as groups, labels swap only between twins."""
    drawn = np.tile(labels, (n_permutations, 1))
    for rows in members_of(groups, len(labels)).values():
        drawn[:, rows] = rng.permuted(drawn[:, rows], axis=1)
    return drawn


def members_of(
    groups: Sequence[Hashable] | None, n: int
) -> dict[Hashable, Int[np.ndarray, " _row"]]:
    if groups is None:
        return {None: np.arange(n)}
    codes, _ = level_codes(groups)
    return {name: np.flatnonzero(codes == k) for k, name in enumerate(dict.fromkeys(groups))}


def _strata(
    labels: Bool[np.ndarray, " n"],
    groups: Sequence[Hashable] | None,
    units: Sequence[Hashable] | None,
) -> tuple[Int[np.ndarray, " n"], list[Int[np.ndarray, " _unit"]]]:
    """Unit of each item, and the units of each stratum."""
    group, n_groups = level_codes([0] * len(labels) if groups is None else groups)
    unit, n_units = level_codes(range(len(labels)) if units is None else units)
    if not len(group) == len(unit) == len(labels):
        raise ValueError(f"{len(labels)} labels, {len(group)} groups and {len(unit)} units")
    home = np.zeros(n_units, dtype=int)
    home[unit] = group
    if (home[unit] != group).any():
        raise ValueError("a unit lies in two groups, so groups cannot be resampled on their own")
    safe = np.bincount(unit, labels, n_units).astype(int)
    size = np.bincount(unit, minlength=n_units)
    kind, n_kinds = level_codes(list(zip(home, safe, size, strict=True)))
    return unit, [np.flatnonzero(kind == k) for k in range(n_kinds)]

"""What is measured of one space: separation of every axiom, of the pool, and their mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from analyses.alignment_quality.items import Item
from tl_geometry.bootstrap import BootstrapResult, Interval, combined, missing_interval
from tl_geometry.probes import ProbeScores, probe_scores
from tl_geometry.separation import calinski_harabasz, paper_aqi, undefined, xie_beni
from tl_geometry.separation_intervals import (
    bootstrapped_auc,
    bootstrapped_eta,
    silhouette_replicates,
    subsampled_silhouette,
    subsampling_interval,
)
from tl_geometry.separation_nulls import auc_null, dispersion, eta_null, silhouette_null
from tl_geometry.strata import Resamples, halves, shuffled_labels, stratified

POOLED, MEAN = "all axioms pooled", "mean of axioms"
HALVES, FEWER = 400, 1_000
"""Subsamples and permutations of the silhouette, which is no closed form."""
Row = dict[str, Any]
Space = Float[np.ndarray, "item d"]


@dataclass(frozen=True)
class Draws:
    """Items with the resamples that all models and layers share, so that they can be compared."""

    items: Sequence[Item]
    seed: int
    resamples: int
    labels: Bool[np.ndarray, " item"]

    @classmethod
    def of(cls, items: Sequence[Item], seed: int, resamples: int) -> "Draws":
        return cls(items, seed, resamples, np.array([item.safe for item in items]))

    @property
    def axioms(self) -> list[str]:
        return [item.axiom for item in self.items]

    @property
    def units(self) -> list[str]:
        return [f"{item.axiom}\x1f{item.unit}" for item in self.items]

    def rows(self, axiom: str) -> Int[np.ndarray, " row"]:
        return np.flatnonzero(np.array(self.axioms) == axiom)

    def generator(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    @cached_property
    def bootstrap(self) -> Resamples:
        """Items, inside axiom and label. Twins (a safe and an unsafe wording of one content) are
        drawn like strangers: they lie nearer to each other, so intervals are rather too wide."""
        how: Any = {"groups": self.axioms, "n_resamples": self.resamples}
        return stratified(self.labels, self.generator(0), **how)

    @cached_property
    def halves(self) -> Bool[np.ndarray, "draw item"]:
        return halves(self.labels, self.generator(1), groups=self.axioms, n_draws=HALVES)

    @cached_property
    def permuted(self) -> Bool[np.ndarray, "draw item"]:
        """Labels change places inside their axiom."""
        how: Any = {"groups": self.axioms, "n_permutations": self.resamples}
        return shuffled_labels(self.labels, self.generator(2), **how)

    def of_axiom(self, axiom: str) -> Resamples:
        """The same resamples, as the items of one axiom see them."""
        rows, whole = self.rows(axiom), self.bootstrap
        kept = tuple(part[:, rows] for part in whole.jackknife)
        return Resamples(whole.weights[:, rows], kept, len(rows))

    def relabelled(self, stream: int) -> "Draws":
        """The same items under labels that mean nothing: a control."""
        rng = self.generator(stream)
        drawn = shuffled_labels(self.labels, rng, groups=self.axioms, n_permutations=1)
        return Draws(self.items, self.seed, self.resamples, drawn[0])


@dataclass(frozen=True)
class Measured:
    """One cell: an axiom, the pool, or the mean of the axioms."""

    eta: BootstrapResult
    auc: BootstrapResult
    row: Row


def separations(space: Space, draws: Draws) -> dict[str, Measured]:
    """Adjusted η², probe AUC and silhouette with intervals and p, and the raw indices."""
    names = list(dict.fromkeys(draws.axioms))
    by_axiom = {name: _of_axiom(space, draws, name) for name in names}
    pool = _cell(space, draws, np.arange(len(draws.items)), draws.bootstrap, draws.axioms)
    return {**by_axiom, POOLED: pool, MEAN: _mean(space, draws, by_axiom)}


def _of_axiom(space: Space, draws: Draws, name: str) -> Measured:
    return _cell(space, draws, draws.rows(name), draws.of_axiom(name), None)


def _cell(
    space: Space,
    draws: Draws,
    rows: Int[np.ndarray, " row"],
    resamples: Resamples,
    groups: list[str] | None,
) -> Measured:
    x, labels = space[rows], draws.labels[rows]
    permuted = draws.permuted[:, rows]
    probe = probed(x, draws, rows, groups)
    eta = bootstrapped_eta(x, labels, resamples)
    auc = bootstrapped_auc(probe.scores, labels, resamples)
    silhouette = subsampled_silhouette(x, labels, draws.halves[:, rows])
    tests = {
        "eta": eta_null(x, labels, permuted),
        "auc": auc_null(probe.scores, labels, permuted),
        "silhouette": silhouette_null(x, labels, permuted[:FEWER]),
    }
    spread = dispersion(x, labels, permuted[:FEWER])
    row: Row = {
        "n": len(rows),
        **stated("eta", eta.interval()),
        **stated("auc", _with_reason(auc.interval(), probe.reason)),
        **stated("silhouette", silhouette),
        **{f"{name}_p": test.p for name, test in tests.items()},
        "dispersion": spread.observed,
        "dispersion_p": spread.p,
        **_raw(x, labels),
        "reason": undefined(x, labels),
    }
    return Measured(eta, auc, row)


def probed(
    x: Space, draws: Draws, rows: Int[np.ndarray, " row"], groups: list[str] | None
) -> ProbeScores:
    """Scores of held-out contents."""
    units = [draws.units[i] for i in rows]
    return probe_scores(x, draws.labels[rows], draws.seed, groups=groups, units=units)


def _raw(x: Space, labels: Bool[np.ndarray, " n"]) -> Row:
    chi, xbi, paper = (f(x, labels) for f in (calinski_harabasz, xie_beni, paper_aqi))
    return {"chi": chi.value, "xbi": xbi.value, "paper_aqi": paper.value}


def _mean(space: Space, draws: Draws, by_axiom: Mapping[str, Measured]) -> Measured:
    """Mean over the axioms, all of one size, on shared resamples."""
    cells = list(by_axiom.values())
    eta = bootstrapped_eta(space, draws.labels, draws.bootstrap, groups=draws.axioms)
    auc = mean_of([cell.auc for cell in cells])
    p = eta_null(space, draws.labels, draws.permuted, groups=draws.axioms).p
    missing = next((cell.row["reason"] for cell in cells if cell.row["reason"]), "")
    row: Row = {
        "n": len(draws.items),
        **stated("eta", eta.interval()),
        **stated("auc", auc.interval()),
        **stated("silhouette", _mean_silhouette(space, draws, missing)),
        "eta_p": p,
        **{name: float(np.mean([c.row[name] for c in cells])) for name in ("chi", "xbi")},
        "reason": missing,
    }
    return Measured(eta, auc, row)


def mean_of(results: Sequence[BootstrapResult]) -> BootstrapResult:
    """On shared resamples."""
    return combined(lambda values: values.mean(axis=0), results)


def _mean_silhouette(space: Space, draws: Draws, missing: str) -> Interval:
    n = len(draws.items)
    if missing:
        return missing_interval(missing, n=n, method="subsampling", level=0.95)
    parts, values = [], []
    for axiom in dict.fromkeys(draws.axioms):
        rows = draws.rows(axiom)
        x, labels, drawn = space[rows], draws.labels[rows], draws.halves[:, rows]
        parts.append(silhouette_replicates(x, labels, drawn))
        values.append(subsampled_silhouette(x, labels, drawn).estimate)
    taken = int(draws.halves[0].sum())
    return subsampling_interval(float(np.mean(values)), np.mean(parts, axis=0), n, taken)


def stated(name: str, interval: Interval) -> Row:
    """`eta`, `eta_low`, `eta_high`, and why there is no interval."""
    ends = {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {name: interval.estimate, **ends, f"{name}_reason": interval.reason}


def _with_reason(interval: Interval, reason: str) -> Interval:
    return interval if not reason else missing_interval(reason, n=interval.n, method="", level=0.95)

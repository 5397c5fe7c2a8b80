"""What is measured of one space: separation of every axiom, of the pool, and their mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from analyses.alignment_quality.draws import Draws, Row, Space
from analyses.alignment_quality.silhouettes import Subsampled, mean_silhouette, subsampled
from tl_geometry.bootstrap import BootstrapResult, Interval, combined, missing_interval
from tl_geometry.probes import ProbeScores, probe_scores
from tl_geometry.separation import calinski_harabasz, paper_aqi, undefined, xie_beni
from tl_geometry.separation_intervals import bootstrapped_auc, bootstrapped_eta
from tl_geometry.separation_nulls import auc_null, dispersion, eta_null, silhouette_null
from tl_geometry.strata import Resamples

POOLED, MEAN = "all axioms pooled", "mean of axioms"
FEWER = 1_000
"""Permutations of silhouette and spread, which are no closed forms."""


@dataclass(frozen=True)
class Measured:
    """One cell, an axiom or the pool: its row, and what the mean of the axioms is made of."""

    auc: BootstrapResult
    silhouette: Subsampled
    row: Row


@dataclass(frozen=True)
class Headline:
    """Means over the axioms, all of one size, on resamples that all models share."""

    eta: BootstrapResult
    auc: BootstrapResult


def separations(space: Space, draws: Draws) -> dict[str, Row]:
    """Adjusted η², probe AUC and silhouette with intervals and p, and the raw indices."""
    cells = {
        axiom: _cell(space, draws, rows, draws.of_axiom(axiom), None)
        for axiom, rows in draws.by_axiom.items()
    }
    pool = _cell(space, draws, np.arange(len(draws.items)), draws.bootstrap, draws.axioms)
    mean = _mean(space, draws, list(cells.values()))
    return {**{axiom: cell.row for axiom, cell in cells.items()}, POOLED: pool.row, MEAN: mean}


def headline_of(space: Space, draws: Draws) -> Headline:
    """The mean's η² and AUC, without the rest of the cells."""
    aucs = [
        bootstrapped_auc(
            probed(space, draws, rows, None).scores, draws.labels[rows], draws.of_axiom(axiom)
        )
        for axiom, rows in draws.by_axiom.items()
    ]
    return mean_of_axioms(space, draws, aucs)


def mean_of_axioms(space: Space, draws: Draws, aucs: Sequence[BootstrapResult]) -> Headline:
    eta = bootstrapped_eta(space, draws.labels, draws.bootstrap, groups=draws.axioms)
    return Headline(eta, combined(lambda values: values.mean(axis=0), aucs))


def _cell(
    space: Space,
    draws: Draws,
    rows: Int[np.ndarray, " row"],
    resamples: Resamples,
    groups: list[str] | None,
) -> Measured:
    x, labels, permuted = space[rows], draws.labels[rows], draws.permuted[:, rows]
    probe = probed(space, draws, rows, groups)
    auc = bootstrapped_auc(probe.scores, labels, resamples)
    silhouette = subsampled(x, labels, draws.halves[:, rows])
    row: Row = {
        "n": len(rows),
        **stated("eta", bootstrapped_eta(x, labels, resamples).interval()),
        **stated("auc", _with_reason(auc.interval(), probe.reason)),
        **stated("silhouette", silhouette.interval()),
        **_nulls(x, labels, probe.scores, permuted),
        **_raw(x, labels),
        "reason": undefined(x, labels),
    }
    return Measured(auc, silhouette, row)


def probed(
    space: Space, draws: Draws, rows: Int[np.ndarray, " row"], groups: list[str] | None
) -> ProbeScores:
    """Scores of held-out contents."""
    units = [draws.units[i] for i in rows]
    return probe_scores(space[rows], draws.labels[rows], draws.seed, groups=groups, units=units)


def _nulls(
    x: Space,
    labels: Bool[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    permuted: Bool[np.ndarray, "draw n"],
) -> Row:
    """Could each be chance, and do the classes differ in spread?"""
    spread = dispersion(x, labels, permuted[:FEWER])
    return {
        "eta_p": eta_null(x, labels, permuted).p,
        "auc_p": auc_null(scores, labels, permuted).p,
        "silhouette_p": silhouette_null(x, labels, permuted[:FEWER]).p,
        "dispersion": spread.observed,
        "dispersion_p": spread.p,
    }


def _raw(x: Space, labels: Bool[np.ndarray, " n"]) -> Row:
    chi, xbi, paper = (f(x, labels) for f in (calinski_harabasz, xie_beni, paper_aqi))
    return {"chi": chi.value, "xbi": xbi.value, "paper_aqi": paper.value}


def _mean(space: Space, draws: Draws, cells: Sequence[Measured]) -> Row:
    """Mean over the axioms; η² alone is asked of the space again, for its acceleration is not made
    of those of the axioms."""
    headline = mean_of_axioms(space, draws, [cell.auc for cell in cells])
    return {
        "n": len(draws.items),
        **stated("eta", headline.eta.interval()),
        **stated("auc", headline.auc.interval()),
        **stated("silhouette", mean_silhouette([cell.silhouette for cell in cells])),
        "eta_p": eta_null(space, draws.labels, draws.permuted, groups=draws.axioms).p,
        **{name: float(np.mean([c.row[name] for c in cells])) for name in ("chi", "xbi")},
        "reason": next((cell.row["reason"] for cell in cells if cell.row["reason"]), ""),
    }


def stated(name: str, interval: Interval) -> Row:
    """`eta`, `eta_low`, `eta_high`, and why there is no interval."""
    ends = {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {name: interval.estimate, **ends, f"{name}_reason": interval.reason}


def _with_reason(interval: Interval, reason: str) -> Interval:
    return interval if not reason else missing_interval(reason, n=interval.n, method="", level=0.95)

"""How much of a patch's change of log R_V is gone at each later layer, and beyond `passive`?

    recovery(layer) = 1 − Σ|Δ(layer)| / Σ|Δ(patch layer)|        sums over pairs
    excess          = recovery(patched) − recovery(passive)

`passive` is what becomes of the change when no later block answers: the values of the next layer
are computed from a stream that the patch has moved a little, and the stream grows. Only what
exceeds it can be called compensation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.homeostasis.conditions import FREEZES
from analyses.homeostasis.resampler import Resampler
from analyses.homeostasis.sample import Sample
from tl_geometry.bootstrap import BootstrapResult, Interval, missing_interval
from tl_geometry.resampling import Statistic, mean_of, ratio_of
from tl_geometry.sites import depth_percent

READOUTS = ("r_v", "residual_pr")


def complete(*arrays: Float[np.ndarray, "pair ..."]) -> np.ndarray:
    """Pairs in which every one of these numbers exists."""
    flat = [array.reshape(len(array), -1) for array in arrays]
    return np.asarray(np.isfinite(np.concatenate(flat, axis=1)).all(axis=1))


@dataclass(frozen=True)
class Changes:
    """Δ of one condition and read-out, and the change that the patch itself made."""

    signed: Float[np.ndarray, "pair layer"]
    patch: Float[np.ndarray, " pair"]

    @property
    def size(self) -> Float[np.ndarray, "pair layer"]:
        return np.abs(self.signed)

    def recovery(self, column: int) -> Statistic:
        """1 − Σ|Δ| / Σ|patch|. Any live component adds scatter, so this can only lose by it."""
        ratio = ratio_of(self.size[:, column], np.abs(self.patch))
        return lambda weights: 1 - ratio(weights)

    def signed_recovery(self, column: int) -> Statistic:
        """1 − ΣΔ·patch / Σpatch²: 1 − slope. What is left *of the patch's own change*, scatter
        that is unrelated to it left out."""
        ratio = ratio_of(self.signed[:, column] * self.patch, self.patch**2)
        return lambda weights: 1 - ratio(weights)


def changes(sample: Sample, readout: str, condition: str) -> Changes:
    """Δ per pair and layer.

    The patch's own change is that at the patch layer. In the residual stream the patched block's
    MLP has answered by then, so it is taken from `passive`, where nothing answers.
    """
    signed = sample.change(readout, condition)
    patch = signed if readout == "r_v" else sample.change(readout, "passive")
    return Changes(signed, patch[:, 0])


SAME_PATCH = (
    "patched",
    *FREEZES,
    "release_mlp",
    "release_attention",
)
"""Conditions with the self-observing donor's patch: only these can be compared with `passive`."""


def floor(sample: Sample, readout: str) -> float:
    """The largest |Δ| of writing a text's own values back: what is not a change at all."""
    if "self" not in sample.conditions:
        return 0.0
    values = np.abs(sample.change(readout, "self"))
    return float(np.nanmax(values)) if np.isfinite(values).any() else 0.0


@lru_cache
def why_undefined(sample: Sample, readout: str, condition: str, resampler: Resampler) -> str:
    """Why this condition has no recovery; empty if it has one."""
    if readout != "r_v" and condition not in SAME_PATCH:
        return "there is no passive run of this patch to take the size of its change from"
    change = changes(sample, readout, condition)
    if not complete(change.size, change.patch).all():
        return "undefined in some pairs"
    if not change.patch.any():
        return "the values at the patch layer do not change (the push comes behind them)"
    size = resampler.bca(mean_of(np.abs(change.patch)), condition).interval()
    if not size.low > floor(sample, readout):
        return "the change at the patch layer is not distinguishable from none"
    return ""


def difference(
    sample: Sample,
    readout: str,
    first: str,
    second: str,
    column: int,
    resampler: Resampler,
    *,
    signed: bool = False,
) -> BootstrapResult | str:
    """recovery(first) − recovery(second) at one layer, or why there is none."""
    for condition in (first, second):
        if condition not in sample.conditions:
            return f"{condition} was not measured"
        if reason := why_undefined(sample, readout, condition, resampler):
            return f"{condition}: {reason}"
    both = [changes(sample, readout, c) for c in (first, second)]
    a, b = (c.signed_recovery(column) if signed else c.recovery(column) for c in both)
    unit = "other_plain" if "other_plain" in (first, second) else first
    return resampler.bca(lambda weights: a(weights) - b(weights), unit)


def recovery_table(sample: Sample, resampler: Resampler) -> pd.DataFrame:
    """Every read-out, condition and layer: |Δ|, recovery and excess recovery, with intervals."""
    rows = []
    for readout in READOUTS:
        for condition in sample.conditions:
            rows += _rows(sample, readout, condition, resampler)
    return pd.DataFrame(rows + _seed_rows(sample, resampler))


def _rows(
    sample: Sample, readout: str, condition: str, resampler: Resampler
) -> list[dict[str, object]]:
    rows = []
    undefined = why_undefined(sample, readout, condition, resampler)
    for column, layer in enumerate(sample.layers):
        where = _where(sample, readout, condition, layer)
        change = changes(sample, readout, condition)
        ok = complete(change.size[:, column])
        size = (
            resampler.bca(mean_of(change.size[:, column]), condition).interval()
            if ok.all()
            else missing_interval(f"undefined in {(~ok).sum()} pairs", n=len(ok), method="BCa")
        )
        rows.append(where | {"quantity": "mean_absolute_change"} | cells(size))
        if condition == "self":
            continue  # a software check: its |Δ| says everything
        recovered = undefined if undefined else resampler.bca(change.recovery(column), condition)
        rows.append(where | {"quantity": "recovery"} | cells(recovered, resampler.n))
        by_sign = undefined or resampler.bca(change.signed_recovery(column), condition)
        rows.append(where | {"quantity": "signed_recovery"} | cells(by_sign, resampler.n))
        if condition in SAME_PATCH and condition != "passive":
            excess = difference(sample, readout, condition, "passive", column, resampler)
            rows.append(where | {"quantity": "excess_recovery"} | cells(excess, resampler.n))
    return rows


def _seed_rows(sample: Sample, resampler: Resampler) -> list[dict[str, object]]:
    """The plan's own figure, R_V(last) − R_V(patch layer): as stated, and without the part that
    an unpatched text shows as well."""
    rows = []
    for condition in (c for c in sample.conditions if c != "reverse"):
        steps = {
            "seed_recovery": _step(sample.quantity("r_v", condition)),
            "seed_recovery_corrected": _step(sample.quantity("r_v", condition))
            - _step(sample.quantity("r_v", "unpatched")),
        }
        for name, values in steps.items():
            ok = complete(values)
            interval = (
                resampler.bca(mean_of(values), condition).interval()
                if ok.all()
                else missing_interval(f"undefined in {(~ok).sum()} pairs", n=len(ok), method="BCa")
            )
            where = _where(sample, "r_v", condition, sample.layers[-1])
            rows.append(where | {"quantity": name} | cells(interval))
    return rows


def _step(r_v: Float[np.ndarray, "pair layer"]) -> Float[np.ndarray, " pair"]:
    return r_v[:, -1] - r_v[:, 0]


def _where(sample: Sample, readout: str, condition: str, layer: int) -> dict[str, object]:
    definitional = readout == "r_v" and layer == sample.patch_layer
    return {
        "readout": readout,
        "condition": condition,
        "layer": layer,
        "depth_percent": depth_percent(layer, sample.n_layers),
        "definitional": definitional,
    }


def cells(result: Interval | BootstrapResult | str, n: int = 0) -> dict[str, object]:
    """The columns of a table that hold an estimate: also where there is none."""
    if isinstance(result, str):
        result = missing_interval(result, n=n, method="BCa")
    always_zero = isinstance(result, BootstrapResult) and not result.replicates.any()
    if isinstance(result, BootstrapResult):
        result = result.interval()
    columns: dict[str, object] = {
        "estimate": result.estimate,
        "low": result.low,
        "high": result.high,
        "n": result.n,
        "status": result.status,
        "reason": result.reason,
    }
    if always_zero:
        reason = "0 in every pair: nothing lies in between"
        columns |= {"status": "by_construction", "reason": reason}
    return columns


def timing_table(sample: Sample, resampler: Resampler, share: float = 0.5) -> pd.DataFrame:
    """First layer behind the patch with recovery ≥ `share`, on the bootstrap distribution.

    `none` is a legal answer. Probabilities are over resampled pairs, not over models.
    """
    rows = []
    names: Sequence[object] = [*sample.layers[1:], "none"]
    for condition in (c for c in sample.conditions if c not in ("self", "shuffled_rows")):
        if reason := why_undefined(sample, "r_v", condition, resampler):
            rows.append({"condition": condition, "status": "missing", "reason": reason})
            continue
        change = changes(sample, "r_v", condition)
        later = [change.recovery(column) for column in range(1, len(sample.layers))]
        results = [resampler.bca(statistic, condition) for statistic in later]
        replicates = np.stack([result.replicates for result in results], axis=1)
        observed = _first([[result.estimate for result in results]], share)[0]
        first = _first(replicates, share)
        for position, name in enumerate(names):
            rows.append(
                {
                    "condition": condition,
                    "first_layer": name,
                    "probability": float(np.mean(first == position)),
                    "observed": bool(observed == position),
                    "threshold": share,
                    "n": results[0].n,
                    "status": "ok",
                    "reason": "",
                }
            )
    return pd.DataFrame(rows)


def _first(recoveries: object, share: float) -> np.ndarray:
    """Position of the first column that reaches `share`; one past the last if none does."""
    reached = np.asarray(recoveries, dtype=float) >= share
    return np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1])

"""One effect over all models: what each contributes, and their random-effects mean."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.cross_architecture.critical import last_change, log_pr, measuring
from analyses.cross_architecture.effects import EXCESS, change
from analyses.cross_architecture.plan import Plan
from analyses.cross_architecture.recording import Record
from tl_geometry.bootstrap import BootstrapResult, Interval, bca, combined, missing_interval
from tl_geometry.meta import MetaAnalysis, leave_one_out, random_effects
from tl_geometry.prompts import halves
from tl_geometry.resampling import shared_weights
from tl_geometry.statistics import bootstrapped_g, standardised_mean

EFFECTS = {
    "gap at the own critical layer": "g",
    "gap at the fixed depth": "g",
    "patch at the fixed depth, last layer": "d_z",
    f"{EXCESS} at the fixed depth, last layer": "d_z",
}


@dataclass(frozen=True)
class Draws:
    """Resamples of the measuring half, drawn once: every model's rows follow the same prompts.

    So models that err on the same prompts err together in each resample.
    """

    prompts: Mapping[str, Sequence[str]]
    """Kind → ids of the measuring half."""
    resamples: int
    seed: int

    @classmethod
    def of(cls, plan: Plan) -> "Draws":
        _, half = halves(plan.bank)
        ids = {kind: [p.id for p in half if p.kind == kind] for kind in ("recursive", "plain")}
        return cls(ids, plan.config.resamples, plan.config.seed)

    def weights(self, kind: str, ids: Sequence[str]) -> Float[np.ndarray, "resample row"]:
        """How often each of these prompts is drawn."""
        order = {name: k for k, name in enumerate(self.prompts[kind])}
        # The stream of `gaps.gap_at`: where no text is missing, the intervals are the same.
        stream = (self.seed, 1, list(self.prompts).index(kind))
        drawn = shared_weights(len(order), self.resamples, *stream)
        return drawn[:, [order[name] for name in ids]]


def effect_of(record: Record, effect: str, draws: Draws) -> BootstrapResult:
    """One model's effect with its replicates. ValueError where it is undefined."""
    if effect.startswith("gap"):
        layer = record.roles["gap" if "own" in effect else "fixed"]
        texts = measuring(list(record.texts))
        sides: list[Any] = []
        weights: list[Any] = []
        values = log_pr(texts)
        values = values[:, layer] - values[:, record.depths.early]
        for kind in ("recursive", "plain"):
            rows = [k for k, row in enumerate(texts) if row["kind"] == kind]
            sides.append(values[rows])
            weights.append(draws.weights(kind, [texts[k]["id"] for k in rows]))
        return bootstrapped_g(sides[0], sides[1], weights)
    rows = record.patches[record.depths.fixed]
    values = change(rows, "log_r_v", EXCESS) if EXCESS in effect else last_change(rows)
    targets = [row["key"].split("|")[2] for row in rows]
    return bca(standardised_mean(values), draws.weights("plain", targets))


def meta_tables(models: Sequence[Record], draws: Draws) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(summaries over models and without each in turn, the effects that went into them)."""
    summaries, inputs = [], []
    for effect, unit in EFFECTS.items():
        found = {r.name: _result(r, effect, draws) for r in models}
        usable = {name: b for name, b in found.items() if isinstance(b, BootstrapResult)}
        for name, result in found.items():
            interval = result if isinstance(result, Interval) else result.interval()
            inputs.append({"effect": effect, "unit": unit, "model": name, **asdict(interval)})
        summaries += _summaries(effect, unit, usable)
    return pd.DataFrame(summaries), pd.DataFrame(inputs)


def _result(record: Record, effect: str, draws: Draws) -> BootstrapResult | Interval:
    try:
        found = effect_of(record, effect, draws)
    except ValueError as error:
        return missing_interval(str(error), n=0, method="BCa")
    return found.interval() if found.reason else found


def _summaries(
    effect: str, unit: str, found: Mapping[str, BootstrapResult]
) -> list[dict[str, Any]]:
    names = list(found)
    row = {"effect": effect, "unit": unit, "without": "", "models": len(names)}
    if len(names) < 2:
        missing = missing_interval("a summary needs two models or more", n=len(names), method="–")
        return [{**row, "quantity": "mean", **asdict(missing)}]
    effects = np.array([b.estimate for b in found.values()])
    variances = np.array([np.nanvar(b.replicates, ddof=1) for b in found.values()])
    rows = [{**row, **r} for r in _meta_rows(random_effects(effects, variances))]
    joint = joint_mean(list(found.values()))
    alike = {"correlation": _mean_correlation(list(found.values()))}
    rows.append({**row, **alike, "quantity": "mean of these models", **asdict(joint)})
    if len(names) > 2:
        for name, left in zip(names, leave_one_out(effects, variances), strict=True):
            rows += [{**row, "without": name, **r} for r in _meta_rows(left)]
    return rows


def _meta_rows(meta: MetaAnalysis) -> list[dict[str, Any]]:
    shared = {"tau2": meta.tau2, "i2": meta.i2, "heterogeneity_p": meta.heterogeneity_p}
    return [
        {"quantity": "mean", **shared, **asdict(meta.mean)},
        {"quantity": "prediction", **shared, **asdict(meta.prediction)},
    ]


def joint_mean(found: Sequence[BootstrapResult]) -> Interval:
    """The plain mean of these very models, prompts resampled jointly (bias-corrected interval).

    Models read the same prompts, so they err together; random effects do not know that. Patches
    follow their target's prompt.
    """
    interval = combined(lambda draws: draws.mean(axis=0), found).interval()
    return replace(interval, method="joint bootstrap")


def _mean_correlation(found: Sequence[BootstrapResult]) -> float:
    """Of two models' replicates on the same prompts: how far they err together.

    Random effects take it for 0; well above it, their interval is too narrow.
    """
    pairs = pd.DataFrame(np.transpose([b.replicates for b in found])).corr().to_numpy()
    return float(pairs[np.triu_indices(len(found), 1)].mean())

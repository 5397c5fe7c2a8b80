"""All models together: one table, a summary over them, and whether their critical depths agree."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.cross_architecture.critical import DEFINITIONS, last_change, log_pr, measuring
from analyses.cross_architecture.effects import EXCESS, NO_LATER, change
from analyses.cross_architecture.gaps import chosen_layers, d_z, gap_at, safe
from analyses.cross_architecture.plan import Plan
from analyses.cross_architecture.recording import Record
from figures.rows import records, select, values_of
from tl_geometry.bootstrap import BootstrapResult, Interval, bca, missing_interval
from tl_geometry.meta import MetaAnalysis, leave_one_out, random_effects
from tl_geometry.prompts import halves
from tl_geometry.resampling import shared_weights
from tl_geometry.sites import depth_percent
from tl_geometry.statistics import bootstrapped_g, standardised_mean

FACTS = ("attention", "blocks", "norm", "sliding_window", "experts", "tokenizer")
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
    rows.append(
        {**row, "quantity": "mean of these models", **asdict(joint_mean(list(found.values())))}
    )
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
    """The plain mean of these very models, prompts resampled jointly (percentile interval).

    Models read the same prompts, so they err together; random effects do not know that. Patches
    follow their target's prompt.
    """
    n = min(b.n for b in found)
    means = np.mean([b.replicates for b in found], axis=0)
    low, high = np.nanquantile(means, [0.025, 0.975])
    estimate = float(np.mean([b.estimate for b in found]))
    return Interval(estimate, float(low), float(high), 0.95, n, "joint bootstrap")


def concordance_table(models: Sequence[Record], resamples: int, seed: int) -> pd.DataFrame:
    """Do the models choose the same depth? Mean distance between two models' critical depths.

    Beside it what chance gives: every model's layer drawn evenly from its candidates.
    """
    rows = []
    for definition in DEFINITIONS:
        parts = [_depths(r, definition, resamples, seed) for r in models]
        parts = [p for p in parts if p is not None]
        if len(parts) < 2:
            continue
        chosen = np.array([p[0] for p in parts])
        drawn = np.stack([p[1] for p in parts])
        rng = np.random.default_rng([seed, 8])
        chance = np.stack([rng.choice(p[2], size=resamples) for p in parts])
        by_chance = _mean_distance(chance)
        apart = float(_mean_distance(chosen[:, None])[0])
        low, high = np.quantile(_mean_distance(drawn), [0.025, 0.975])
        rows.append(
            {
                "definition": definition,
                "models": len(parts),
                "median_depth_percent": float(np.median(chosen)),
                "mean_distance": apart,
                "low": float(low),
                "high": float(high),
                "by_chance": float(by_chance.mean()),
                "p_nearer_than_chance": float((1 + (by_chance <= apart).sum()) / (1 + resamples)),
            }
        )
    return pd.DataFrame(rows)


def _depths(record: Record, definition: str, resamples: int, seed: int) -> Any:
    """(chosen depth, depths of the resamples, depths of all candidates), per cent."""
    layers, choice, drawn = chosen_layers(record, definition, "all", resamples, seed)
    if not layers:
        return None
    candidates = np.array([depth_percent(n, record.depths.n_layers) for n in layers])
    return candidates[choice], candidates[drawn], candidates


def _mean_distance(
    depths: Float[np.ndarray, "model draw"],
) -> Float[np.ndarray, " draw"]:
    """Mean absolute difference over all pairs of models."""
    k = len(depths)
    apart = np.abs(depths[:, None] - depths[None]).sum((0, 1))
    return apart / (k * (k - 1))


def comparison_table(
    plan: Plan,
    measured: Sequence[Record],
    untrained: Mapping[str, Record],
    failed: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """One row a model of the request, those that failed with their reason."""
    by_name = {record.name: record for record in measured}
    rows = []
    for entry in plan.models:
        row: dict[str, Any] = {"model": entry.name, "family": entry.spec.family}
        if entry.name in failed:
            rows.append({**row, "status": "failed", "reason": failed[entry.name]})
            continue
        record = by_name[entry.name]
        rows.append(row | _compared(plan, record, untrained.get(entry.name), tables))
    return pd.DataFrame(rows)


def _compared(
    plan: Plan, record: Record, untrained: Record | None, tables: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    config, where, layer = plan.config, record.depths, record.roles["gap"]
    texts = measuring(list(record.texts))
    args = (config.resamples, config.seed)
    gap = safe(lambda: gap_at(texts, layer, where.early, *args).interval(), len(texts))
    found = {
        "n_layers": where.n_layers,
        "critical_layer": layer,
        "depth_percent": depth_percent(layer, where.n_layers),
        **_prefixed("g", gap),
        "g_n": gap.n,
        "p_search": float(
            np.nanmin(select(tables["layers"], model=record.name)["p_all_layers"].to_numpy(float))
        ),
    }
    if untrained is not None:
        other = measuring(list(untrained.texts))
        null = safe(lambda: gap_at(other, layer, where.early, *args).interval(), len(other))
        found |= _prefixed("untrained_g", null)
    for condition, name in (("patched", "behind"), (EXCESS, "excess")):
        rows = record.patches[layer]
        if layer == where.n_layers - 1:
            effect = missing_interval(NO_LATER, n=len(rows), method="BCa")
        else:
            values = change(rows, "log_r_v", condition)
            effect = safe(lambda v=values: d_z(v, *args).interval(), len(values))
        found |= _prefixed(f"{name}_d_z", effect)
    last = records(
        select(
            tables["transfer"],
            model=record.name,
            patch_layer=layer,
            outcome="log_r_v",
            definitional=False,
        )
    )
    transfer = last[0] if last else {"reason": NO_LATER}
    for key in ("estimate", "low", "high", "reason"):
        found[f"transfer_{key}"] = transfer.get(key, np.nan)
    found |= {
        "attempted_pairs": plan.n_pairs,
        "valid_pairs": len(record.patches[layer]),
        "texts": len(record.texts),
        **{name: record.facts[name] for name in (*FACTS, "heads")},
        "status": "ok",
        "reason": "",
    }
    return found


def _prefixed(prefix: str, interval: Interval) -> dict[str, Any]:
    return {
        prefix: interval.estimate,
        f"{prefix}_low": interval.low,
        f"{prefix}_high": interval.high,
        f"{prefix}_reason": interval.reason,
    }


def pattern_table(comparison: pd.DataFrame) -> pd.DataFrame:
    """The comparison by kind of architecture. Counts and ranges, no tests: models differ in all
    of these at once, and one or two of a kind decide nothing."""
    measured = select(comparison, status="ok")
    return pd.DataFrame(
        _pattern(fact, kind, select(measured, **{fact: kind}))
        for fact in FACTS
        for kind in values_of(measured, fact)
    )


def _pattern(fact: str, kind: str, group: pd.DataFrame) -> dict[str, Any]:
    g, depth, behind = (
        group[name].to_numpy(float) for name in ("g", "depth_percent", "behind_d_z")
    )
    return {
        "fact": fact,
        "kind": kind,
        "models": len(group),
        "names": ", ".join(group["model"].tolist()),
        "g_mean": g.mean(),
        "g_lowest": g.min(),
        "g_highest": g.max(),
        "depth_percent_median": float(np.median(depth)),
        "behind_d_z_mean": behind.mean(),
    }

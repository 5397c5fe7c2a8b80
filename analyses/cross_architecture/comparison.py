"""One row a model, and the models by kind of architecture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyses.cross_architecture.critical import measuring
from analyses.cross_architecture.effects import EXCESS, NO_LATER, change
from analyses.cross_architecture.gaps import d_z, gap_at, safe
from analyses.cross_architecture.plan import Plan
from analyses.cross_architecture.recording import Record
from figures.rows import records, select, values_of
from tl_geometry.bootstrap import Interval, combined, missing_interval
from tl_geometry.sites import depth_percent

FACTS = ("attention", "blocks", "norm", "sliding_window", "experts", "tokenizer")


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
    for name, at in (("late_g", layer), ("early_g", where.early)):
        alone = safe(lambda at=at: gap_at(texts, at, None, *args).interval(), len(texts))
        found |= _prefixed(name, alone)
    found |= _place(tables["critical_layers"], record.name)
    if untrained is not None:
        found |= _against_twin(record, untrained, args)
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


def _place(critical: pd.DataFrame, model: str) -> dict[str, Any]:
    """How sure the depth is: 95 % of the resamples of the choosing half lie between these."""
    (row,) = records(select(critical, model=model, definition="gap", range="all"))
    return {name: row[name] for name in ("depth_low", "depth_high")}


def _against_twin(record: Record, untrained: Record, args: tuple[int, int]) -> dict[str, Any]:
    """The twin's gap at the layer that *its* search chose, at the model's, and what is left.

    A control gets the same search. `beyond_untrained` is |g| of the model minus |g| of the twin,
    each at its own layer (whose sign the search leaves open), prompts resampled jointly.
    """
    early, layers = record.depths.early, (record.roles["gap"], untrained.roles["gap"])
    own, other = (measuring(list(r.texts)) for r in (record, untrained))
    null = safe(lambda: gap_at(other, layers[1], early, *args).interval(), len(other))
    same = safe(lambda: gap_at(other, layers[0], early, *args).interval(), len(other))

    def beyond() -> Interval:
        if [row["id"] for row in own] != [row["id"] for row in other]:
            raise ValueError("the model and its random twin could not measure the same texts")
        both = [gap_at(own, layers[0], early, *args), gap_at(other, layers[1], early, *args)]
        return combined(lambda draws: np.abs(draws[0]) - np.abs(draws[1]), both).interval()

    return {
        "untrained_layer": layers[1],
        **_prefixed("untrained_g", null),
        **_prefixed("untrained_same_layer_g", same),
        **_prefixed("beyond_untrained", safe(beyond, len(own))),
    }


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

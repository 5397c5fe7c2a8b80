"""Tidy tables of an extraction, made from its record."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analyses.alignment_steering.extracting import DONE
from analyses.alignment_steering.plan import Pair, Plan
from figures.rows import absent, records, select, where
from tl_geometry.runs import Run

log = logging.getLogger(__name__)
Tables = dict[str, pd.DataFrame]
LAYERS = [
    "model", "layer", "depth_percent", "quantity", "data", "estimate", "low", "high", "n",
    "status", "reason",
]  # fmt: skip
VARIANCE = [
    "model", "layer", "depth_percent", "component", "centred", "centred_cumulative",
    "uncentred", "uncentred_cumulative",
]  # fmt: skip
PAIRS = [
    "model", "base", "n_layers", "d_model", "n", "dropped", "cosine_chosen", "cosine_rejected",
    "text_cosine_chosen", "halves_cosine", "norm", "status", "reason",
]  # fmt: skip
RANKING = [
    "rank", "model", "cosine", "potential", "measured", "measured_low", "measured_high",
    "measured_rank", "what",
]  # fmt: skip
FEWEST = 5
"""Models below which nothing is said about agreement of two rankings."""


def extract_tables(plan: Plan, record: Run, failed: Mapping[str, str]) -> Tables:
    found = {p.name: record.log(p.name).rows() for p in plan.pairs if p.name not in failed}
    layers = [
        {"model": name, **row} for name, rows in found.items() for row in rows if "quantity" in row
    ]
    variance = [
        {"model": name, **row} for name, rows in found.items() for row in rows if "component" in row
    ]
    table = _frame(layers, LAYERS)
    pairs = _pairs(plan.pairs, found, failed, table)
    measured = measured_effects(plan.folder.parent, plan.spec.key)
    return {
        "pairs": pairs,
        "ranking": ranking(pairs, measured),
        "layers": table,
        "variance": _frame(variance, VARIANCE),
        "dropped": _dropped(plan, found),
        "missing": _missing(failed, table),
    }


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame([{c: row.get(c) for c in columns} for row in rows], columns=list(columns))


def _pairs(
    pairs: Sequence[Pair],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    failed: Mapping[str, str],
    layers: pd.DataFrame,
) -> pd.DataFrame:
    rows = []
    for pair in pairs:
        base = pair.base.name if pair.base else None
        about = {"model": pair.name, "base": base, "status": "ok", "reason": ""}
        if pair.name in failed:
            rows.append({**about, "status": "failed", "reason": failed[pair.name]})
            continue
        last = next(row for row in found[pair.name] if row["key"] == DONE)
        mine = select(layers, model=pair.name)
        rows.append(
            {
                **about,
                **{name: last[name] for name in ("n_layers", "d_model", "n")},
                "dropped": sum(last["dropped"].values()),
                "cosine_chosen": mean_of(mine, "cosine_of_means"),
                "cosine_rejected": mean_of(mine, "cosine_of_means", "rejected"),
                "text_cosine_chosen": mean_of(mine, "mean_cosine"),
                "halves_cosine": mean_of(mine, "halves_cosine"),
                # As printed by the published script: over all layers together.
                "norm": float(np.sqrt(np.square(_values(mine, "norm")).sum())),
            }
        )
    return _frame(rows, PAIRS)


def _values(layers: pd.DataFrame, quantity: str, data: str = "chosen") -> np.ndarray:
    return select(layers, quantity=quantity, data=data)["estimate"].to_numpy(float)


def mean_of(layers: pd.DataFrame, quantity: str, data: str = "chosen") -> float:
    """Mean over layers; NaN where one of them has no number."""
    return float(np.mean(_values(layers, quantity, data)))


def ranking(pairs: pd.DataFrame, measured: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """By the published potential, 1 − cosine of the mean states, beside what steering did."""
    good = [row for row in records(select(pairs, status="ok")) if not absent(row["cosine_chosen"])]
    good.sort(key=lambda row: row["cosine_chosen"])
    effects = {row["model"]: measured[row["model"]] for row in good if row["model"] in measured}
    by_effect = sorted(effects, key=lambda name: -effects[name]["estimate"])
    rows = []
    for rank, row in enumerate(good, start=1):
        name, cosine = row["model"], row["cosine_chosen"]
        effect = effects.get(name, {})
        rows.append(
            {
                "rank": rank,
                "model": name,
                "cosine": cosine,
                "potential": 1 - cosine,
                "measured": effect.get("estimate"),
                "measured_low": effect.get("low"),
                "measured_high": effect.get("high"),
                "measured_rank": by_effect.index(name) + 1 if name in effects else None,
                "what": effect.get("what"),
            }
        )
    return _frame(rows, RANKING)


def agreement(table: pd.DataFrame, resamples: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """Kendall's τ of potential and measured effect over models, with Spearman's ρ beside it.

    The interval is a bootstrap over models. Undecided below five of them.
    """
    both = where(table, table["measured"].notna())
    n = len(both)
    if n < FEWEST:
        why = f"measured models: {n}; below {FEWEST} a ranking says nothing"
        return {"verdict": "undecided", "models": n, "reason": why if n else "nothing is measured"}
    x, y = both["potential"].to_numpy(float), both["measured"].to_numpy(float)
    rng = np.random.default_rng([seed, n])
    draws = [_tau(x[i], y[i]) for i in rng.integers(n, size=(min(resamples, 2_000), n))]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    verdict = "agree" if low > 0 else "disagree" if high < 0 else "undecided"
    rho = float(stats.spearmanr(x, y)[0])  # pyright: ignore[reportArgumentType] # a tuple
    numbers = {"tau": _tau(x, y), "low": float(low), "high": float(high), "rho": rho}
    return {"verdict": verdict, "models": n, **numbers}


def _tau(x: np.ndarray, y: np.ndarray) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:  # a resample of one model only
        return float("nan")
    return float(stats.kendalltau(x, y)[0])  # pyright: ignore[reportArgumentType] # a tuple


def measured_effects(folder: Path, key: str) -> dict[str, Mapping[str, Any]]:
    """What `validate` found with the vectors of the run `key`, by model; empty where no finished
    run of it lies in this folder. Of several, the latest."""
    found: dict[str, Mapping[str, Any]] = {}
    paths = sorted(folder.glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    for path in paths:
        try:
            summary = json.loads(path.read_text("utf-8"))
        except ValueError:
            log.warning("%s was damaged, and is left out of the ranking", path)
            continue
        if summary.get("vectors_key") == key:
            found |= {row["model"]: row for row in summary.get("measured", [])}
    return found


def _dropped(plan: Plan, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    rows = [("all", reason, count) for reason, count in plan.data.dropped.items()]
    for name, mine in found.items():
        last = next(row for row in mine if row["key"] == DONE)
        rows += [(name, reason, count) for reason, count in last["dropped"].items()]
    return pd.DataFrame(rows, columns=np.array(["model", "reason", "pairs"]))


def _missing(failed: Mapping[str, str], layers: pd.DataFrame) -> pd.DataFrame:
    rows = [("model", name, reason) for name, reason in failed.items()]
    for row in records(select(layers, status="missing")):
        place = f"{row['quantity']}, {row['data']}, layer {row['layer']}"
        rows.append((str(row["model"]), place, row["reason"]))
    return pd.DataFrame(rows, columns=np.array(["what", "id", "reason"]))

"""Tables of a comparison, made by hand, and how to look at what is drawn of them."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pandas as pd

N_LAYERS, EARLY, FIXED = 8, 1, 5
HOSTILE = "<script>alert(1)</script> cannot be read"
NO_SPREAD, DENOMINATOR = "no spread at all", "the denominator holds 0"
CONDITIONS = ("patched", "other_plain", "patched − other_plain", "reverse")
Tables = dict[str, pd.DataFrame]


def cells(estimate: float, width: float | None, n: int = 9, why: str = "") -> dict[str, Any]:
    low, high = (math.nan, math.nan) if width is None else (estimate - width, estimate + width)
    found = {"estimate": estimate, "low": low, "high": high, "n": n}
    return found | {"status": "missing" if why else "ok", "reason": why or math.nan}


def prefixed(prefix: str, found: Mapping[str, Any]) -> dict[str, Any]:
    ends = {f"{prefix}_{key}": found[key] for key in ("low", "high", "reason")}
    return {prefix: found["estimate"], **ends}


def depth(layer: int) -> dict[str, Any]:
    return {"layer": layer, "depth_percent": 100 * layer / N_LAYERS}


def comparison_table() -> pd.DataFrame:
    facts = {"attention": "GQA", "critical_layer": 4, "depth_percent": 50.0, "n_layers": N_LAYERS}
    good = {"status": "ok", "reason": math.nan} | facts
    alpha = prefixed("g", cells(0.5, 0.3)) | prefixed("untrained_g", cells(0.1, 0.2))
    beta = prefixed("g", cells(-0.4, None, why=NO_SPREAD))
    failed = {"model": "gamma", "status": "failed", "reason": HOSTILE}
    return pd.DataFrame(
        [{"model": "alpha"} | good | alpha, {"model": "beta"} | good | beta, failed]
    )


def meta_table() -> pd.DataFrame:
    row = {"effect": "gap at the own critical layer", "unit": "g", "models": 2, "i2": 0.5}
    rows = [
        row | {"without": math.nan, "quantity": "mean"} | cells(0.05, 9.0),
        row | {"without": math.nan, "quantity": "prediction"} | cells(0.05, None, why="two models"),
        row | {"without": math.nan, "quantity": "mean of these models"} | cells(0.06, 0.1),
        row | {"without": "alpha", "quantity": "mean"} | cells(77.0, 0.1),
    ]
    return pd.DataFrame(rows)


def layer_table(models: tuple[str, ...] = ("alpha", "beta", "alpha--untrained")) -> pd.DataFrame:
    rows = []
    for m, model in enumerate(models):
        for layer in range(N_LAYERS):
            early = layer == EARLY
            size = cells(math.nan, None, why="0 by definition") if early else cells(m - layer, 0.2)
            p = math.nan if layer <= EARLY else 0.01 if layer == 4 + m else 0.9
            row = {"model": model, **depth(layer), **size, "p_all_layers": p}
            rows.append(row | {"definitional": early})
    return pd.DataFrame(rows)


def critical_tables() -> Tables:
    chosen, shares = [], []
    for model, layer in (("alpha", 4), ("beta", 6)):
        for definition in ("gap", "drop", "patch"):
            for span in ("all", "seed"):
                which = {"model": model, "definition": definition, "range": span}
                ends = {"depth_low": 25.0, "depth_high": 75.0, "share_of_resamples": 0.75}
                row = which | depth(layer) | ends | {"n_layers": N_LAYERS} | cells(0.4, 0.1)
                chosen.append(row)
                shares.append(which | depth(layer) | {"share": 0.75})
                shares.append(which | depth(2 if span == "all" else 3) | {"share": 0.25})
    row = {"models": 2, "median_depth_percent": 62.5, "mean_distance": 25.0, "low": 12.5}
    row |= {"high": 37.5, "by_chance": 31.25, "p_nearer_than_chance": 0.321}
    concordance = pd.DataFrame([{"definition": d, **row} for d in ("gap", "drop", "patch")])
    return {
        "critical_layers": pd.DataFrame(chosen),
        "depths": pd.DataFrame(shares),
        "concordance": concordance,
    }


def effect_table() -> pd.DataFrame:
    rows = []
    for m, model in enumerate(("alpha", "beta", "alpha--untrained")):
        for patched, roles in ((4, "gap, drop"), (FIXED, "fixed, patch")):
            for c, condition in enumerate(CONDITIONS):
                row = {"model": model, "patch_layer": patched, "roles": roles}
                row |= {"condition": condition, "p_adjusted": math.nan}
                size = 0.1 * (c + 1) + m if patched == FIXED else 5.0
                for layer in range(patched, N_LAYERS):
                    site = layer == patched
                    found = cells(99.0 if site or layer < N_LAYERS - 1 else size, 0.05)
                    where = {"outcome": "log_r_v", "definitional": site} | depth(layer)
                    rows.append(row | where | found)
                for outcome in ("continuation", "next_token_kl"):
                    where = {"outcome": outcome, "definitional": False} | depth(N_LAYERS - 1)
                    value = (
                        0.0 if (outcome, condition, m) == ("next_token_kl", "reverse", 1) else size
                    )
                    rows.append(row | where | cells(value, 0.05))
    return pd.DataFrame(rows)


def transfer_table() -> pd.DataFrame:
    rows = []
    for model, change, gap in (("alpha", 0.2, 0.4), ("beta", -0.1, 0.3)):
        for patched, roles in ((4, "gap, drop"), (FIXED, "fixed")):
            row = {"model": model, "patch_layer": patched, "roles": roles, "outcome": "log_r_v"}
            row |= {"change": change, "natural_gap": gap}
            why = DENOMINATOR if model == "beta" else ""
            last = cells(math.nan, None, why=why) if why else cells(change / gap, 0.1)
            site = row | {"change": 88.0, "layer": patched, "definitional": True}
            rows += [site | cells(1.0, 0.1), row | {"layer": 7, "definitional": False} | last]
        at_end = {"patch_layer": 7, "roles": "patch", "layer": 7, "definitional": True}
        rows.append(row | at_end | cells(1.0, 0.1))
    return pd.DataFrame(rows)


def pair_table() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": model, "patch_layer": patched, "natural_gap_last": gap + 2 * step}
            | {"delta_log_r_v_last": change + step}
            for model, change, gap in (("alpha", 0.2, 0.4), ("beta", -0.1, 0.3))
            for patched in (4, FIXED)
            for step in (-0.01, 0.0, 0.01)
        ]
    )


def confound_tables() -> Tables:
    gap, areas = [], []
    for m, model in enumerate(("alpha", "beta")):
        for c, name in enumerate(("as it is", "given tokens", "given all three", "matched texts")):
            row = {"model": model, "comparison": name, "about": "gap"}
            gap.append(row | cells(0.3 + 0.1 * c + m, 0.2, n=50 - c))
        row = {"model": model, "comparison": "tokens of the two kinds", "about": "balance"}
        gap.append(row | cells(66.0, 0.1))
        for score, area in (("R_V at the critical layer", 0.6), ("ten keywords", 0.9)):
            areas.append({"model": model, "score": score} | cells(area + 0.01 * m, 0.05))
        none = cells(math.nan, None, why="told apart without error")
        areas.append({"model": model, "score": "words"} | none)
    return {"confounds": pd.DataFrame(gap), "baselines": pd.DataFrame(areas)}


def pattern_table() -> pd.DataFrame:
    row = {"fact": "attention", "kind": "GQA", "models": 2, "names": "alpha, beta"}
    row |= {"g_mean": 0.05, "g_lowest": -0.4, "g_highest": 0.5, "depth_percent_median": 50.0}
    return pd.DataFrame([row | {"behind_d_z_mean": 0.0}])


def every_table() -> Tables:
    inputs = {"effect": "gap at the own critical layer", "model": "alpha"} | cells(0.5, 0.3, n=41)
    why = "fewer than 5 models; 50% of 2 models have the gap"
    return {
        "comparison": comparison_table(),
        "verdict": pd.DataFrame([{"verdict": "undecided", "why": why}]),
        "meta": meta_table(),
        "meta_inputs": pd.DataFrame([inputs]),
        "layers": layer_table(),
        "effects": effect_table(),
        "transfer": transfer_table(),
        "pairs": pair_table(),
        "patterns": pattern_table(),
        **critical_tables(),
        **confound_tables(),
    }


@lru_cache
def drawn_tables() -> dict[str, Any]:
    """The figures of all of them, drawn once; only to be read."""
    from figures.cross_architecture import figures

    return figures(every_table())


def points(traces: list[Any]) -> list[float]:
    return [value for trace in traces for value in trace.x if value is not None]


def ends(trace: Any, k: int = 0) -> tuple[float, float]:
    return trace.x[k] - trace.error_x.arrayminus[k], trace.x[k] + trace.error_x.array[k]

"""Figures of the refusal analysis show the numbers of their tables, and say what they cannot."""

import itertools
from collections.abc import Sequence
from typing import Any

import pandas as pd

HOSTILE = "<script>alert(1)</script> cannot be loaded"
DEPTHS, DOSES, N_LAYERS, N = (0.2, 0.4, 0.6), (0.02, 0.05, 0.11), 10, 50

Tables = dict[str, pd.DataFrame]


def rates(coherent: float, garbled: float, n: int = N) -> dict[str, Any]:
    normal = round(1 - coherent - garbled, 9)
    found: dict[str, Any] = {"n": n}
    for name, value in (("coherent", coherent), ("garbled", garbled), ("normal", normal)):
        ends = {f"{name}_low": max(value - 0.1, 0), f"{name}_high": min(value + 0.1, 1)}
        found |= {name: value, **ends}
    return found | {"refusal_strict": coherent + garbled}


def place(source: str, depth: float | str, dose: float) -> dict[str, Any]:
    if source == "none":
        gone = dict.fromkeys(("layer", "position", "dose_unit", "dose_raw", "dose_residual"))
        return {"source": source, "depth": "", "dose": 0.0, "depth_percent": None, **gone}
    layer = 7 if depth == "free" else int(float(depth) * N_LAYERS)
    doses = {"dose": dose, "dose_unit": 15.0, "dose_raw": 1.0, "dose_residual": dose}
    where = {"layer": layer, "depth_percent": 100 * layer / N_LAYERS, "position": -1}
    return {"source": source, "depth": str(depth), **where, **doses}


def conditions(
    models: Sequence[str], methods: Sequence[str] = ("dim", "cosmic"), n_random: int = 2
) -> pd.DataFrame:
    """Coherent refusals rise with the dose and are highest at depth 0.4 under DIM."""
    controls = [*(f"random {k}" for k in range(n_random)), "shuffled"]
    rows: list[dict[str, Any]] = []
    for model in models:
        row = {"model": model, "family": "made"}
        for source, depth, dose in itertools.product(
            [*methods, *controls], [*DEPTHS, "free"], DOSES
        ):
            if source in controls and depth == "free":
                continue
            peak = 0.8 if (source, depth) == ("dim", 0.4) else 0.3
            found = rates(peak * dose / 0.11 if source in methods else 0.04, dose)
            rows.append(row | {"phase": "search"} | place(source, depth, dose) | found)
            if dose == 0.11 and (source in methods or depth == 0.4):
                rows.append(row | {"phase": "test"} | place(source, depth, dose) | found)
        for method in methods:
            rows.append(row | {"phase": "test"} | place(method, 0.4, -0.11) | rates(0, 0.5))
        rows.append(row | {"phase": "test"} | place("none", "", 0) | rates(0.02, 0))
        rows.append(row | {"phase": "harmful"} | place("none", "", 0) | rates(0.9, 0))
    return pd.DataFrame(rows)


def verdicts(
    models: Sequence[str], methods: Sequence[str] = ("dim", "cosmic"), random: float = 0.04
) -> pd.DataFrame:
    rows = []
    for model, method, own in itertools.product(models, methods, (False, True)):
        found = rates(0.8 if method == "dim" and not own else 0.3, 0.11)
        row = {"model": model, "family": "made", "method": method, "uncertain": method == "cosmic"}
        row |= {"verdict": "works" if found["coherent"] > 0.6 else "partial", **found}
        row |= place(method, "free" if own else 0.4, 0.11) | {"layer_pattern": "peak"}
        row |= {"unsteered": 0.02, "random_highest": random, "random_mean": random}
        row |= {"shuffled": 0.06, "choice": "own rule" if own else "best depth on validation"}
        rows.append({k: v for k, v in row.items() if k not in ("source", "depth")})
    return pd.DataFrame(rows)


def every_table(
    models: Sequence[str] = ("alpha", "beta"), methods: Sequence[str] = ("dim", "cosmic")
) -> Tables:
    missing = [("model", "gamma", HOSTILE), ("beta", "dim|free", "no candidate passes")]
    return {
        "verdicts": verdicts(models, methods),
        "conditions": conditions(models, methods),
        "missing": pd.DataFrame(missing, columns=["what", "id", "reason"]),
    }

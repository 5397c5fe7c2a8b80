"""Tables of a homeostasis run, made by hand, and how to look at what is drawn of them."""

import math
from functools import lru_cache
from typing import Any

import pandas as pd

LAYERS = (5, 6, 7)
N_LAYERS = 8
CONDITIONS = ("patched", "passive", "freeze_mlp", "freeze_norm", "other_plain", "random_residual")
HOSTILE = "<script>alert(1)</script><b>bold</b>"


def cells(estimate: float, width: float | None, n: int = 9, why: str = "") -> dict[str, Any]:
    """A row's estimate with its interval; `width` None means that there is none."""
    low, high = (math.nan, math.nan) if width is None else (estimate - width, estimate + width)
    status = "missing" if why else "ok"
    return {
        "estimate": estimate,
        "low": low,
        "high": high,
        "n": n,
        "status": status,
        "reason": why or math.nan,
    }


def place(layer: int) -> dict[str, Any]:
    return {"layer": layer, "depth_percent": 100 * layer / N_LAYERS}


def recovery_table() -> pd.DataFrame:
    rows = []
    for c, condition in enumerate(CONDITIONS):
        for layer in LAYERS:
            where = {"readout": "r_v", "condition": condition, **place(layer)}
            where |= {"definitional": layer == LAYERS[0]}
            size = cells(0.9 - 0.05 * c - 0.2 * (layer - 5), 0.03)
            rows.append(where | {"quantity": "mean_absolute_change"} | size)
            recovered = cells(0.3 * (layer - 5) - 0.01 * c, 0.05)
            if condition == "random_residual":
                recovered = cells(math.nan, None, why="the push comes behind the values")
            elif condition == "freeze_norm" and layer == 6:
                recovered |= cells(recovered["estimate"], None, why="no spread")
            rows.append(where | {"quantity": "recovery"} | recovered)
            excess = cells(0.02 * c, 0.01)
            rows.append(where | {"quantity": "excess_recovery"} | excess)
    return pd.DataFrame(rows)


def mechanism_table() -> pd.DataFrame:
    rows = []
    for component, side in (("mlp", "frozen"), ("mlp", "released"), ("norm", "frozen")):
        for layer in LAYERS[1:]:
            row = {"component": component, **place(layer), "analysis": "contribution", "side": side}
            rows.append(row | cells(0.05 * layer, 0.02) | {"p": 0.01, "p_adjusted": 0.02})
    for component, spearman in (("mlp_expansion", -0.7), ("residual_pr", math.nan)):
        for layer in LAYERS[1:]:
            why = "covariate is constant" if math.isnan(spearman) else ""
            row = {"component": component, **place(layer), "analysis": "association", "side": ""}
            row |= cells(spearman, None) | {"status": "missing" if why else "ok", "reason": why}
            p = math.nan if why else 0.04
            rows.append(row | {"p": p, "p_adjusted": p, "pearson": spearman, "spearman": spearman})
    return pd.DataFrame(rows)


def hypothesis_table() -> pd.DataFrame:
    rows = []
    for name, estimate, verdict in (
        ("mlp_compensation", 0.21, "supported"),
        ("attention_compensation", 0.01, "equivalent to none"),
        ("norm_compensation", math.nan, "undecided"),
        ("residual_balancing", -0.3, "opposite"),
    ):
        why = "freeze_norm was not measured" if math.isnan(estimate) else ""
        row = {"hypothesis": name, "statement": f"{name} brings R_V back", "effect": "a − b"}
        row |= {"readout": "r_v", "layer": 7} | cells(estimate, None if why else 0.04, why=why)
        released = (
            cells(0.11, 0.02) if name == "mlp_compensation" else cells(math.nan, None, why="none")
        )
        row |= {f"released_{key}": value for key, value in released.items()}
        rows.append(row | {"p_adjusted": 0.01, "equivalence_p_adjusted": 0.9, "verdict": verdict})
    return pd.DataFrame(rows)


def layer_table(n: int = 6) -> pd.DataFrame:
    rows = []
    for i in range(n):
        for condition in ("patched", "passive", "random_residual"):
            for layer in LAYERS:
                row = {"pair_index": i, "condition": condition, **place(layer)}
                row |= {"delta_log_mlp_expansion": 0.01 * i + 0.1 * layer}
                row |= {"delta_attention_entropy": 0.0 if layer == 5 else 0.01 * i}
                rows.append(row | {"delta_log_residual_norm": math.nan if i == 0 else 0.02 * i})
    return pd.DataFrame(rows)


def timing_table() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for condition, probabilities in (("patched", (0.2, 0.7, 0.1)), ("passive", (0.0, 0.4, 0.6))):
        for first, p in zip((6, 7, "none"), probabilities, strict=True):
            row = {"condition": condition, "first_layer": first, "probability": p, "n": 9}
            row |= {"observed": p == max(probabilities), "threshold": 0.5}
            rows.append(row | {"status": "ok", "reason": ""})
    why = "the push comes behind the values"
    rows.append({"condition": "random_residual", "status": "missing", "reason": why})
    return pd.DataFrame(rows)


def profile_table(n: int = 5) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"pair_index": i, "prompt_id": f"{kind}{i}", "kind": kind, **place(layer)}
            | {"pr_value": 1.0, "r_v": 1.0 if layer == 1 else 1 - 0.1 * layer + 0.01 * i}
            for i in range(n)
            for kind in ("plain", "recursive")
            for layer in range(N_LAYERS)
        ]
    )


def pair_table() -> pd.DataFrame:
    changes = [(0.5, 0.1), (-0.2, 0.4), (0.3, 0.0), (math.nan, 0.1)]
    return pd.DataFrame(
        [
            {"pair_index": i, "target_id": f"t{i}", "donor_id": HOSTILE}
            | {"delta_log_r_v_L5": a, "delta_log_r_v_L6": 0.1, "delta_log_r_v_L7": b}
            for i, (a, b) in enumerate(changes)
        ]
    )


def every_table() -> dict[str, pd.DataFrame]:
    return {
        "recovery": recovery_table(),
        "mechanisms": mechanism_table(),
        "hypotheses": hypothesis_table(),
        "layers": layer_table(),
        "timing": timing_table(),
        "profile": profile_table(),
        "pairs": pair_table(),
    }


@lru_cache
def drawn_tables() -> dict[str, Any]:
    """The figures of all of them, drawn once; only to be read."""
    from figures.homeostasis import figures

    return figures(every_table())


def traces(figure: Any, beginning: str) -> list[Any]:
    return [t for t in figure.data if str(t.name).startswith(beginning) and t.mode != "lines"]


def notes(figure: Any) -> str:
    return " ".join(a.text for a in figure.layout.annotations if a.name == "notes").replace(
        "<br>", " "
    )

"""Tables of a refusal run, made by hand, and how to look at what is drawn of them."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

HOSTILE = "<script>alert(1)</script> cannot be loaded"
NASTY = (
    '</script><script>document.title="owned"</script><img src=x onerror=alert(1)>\u2028"\u0000&amp;'
)
FORMULA = '=HYPERLINK("http://x", "y")'
DEPTHS, DOSES, N_LAYERS, N = (0.2, 0.4, 0.6), (0.02, 0.05, 0.11), 10, 50
SAME, OWN = "random, same place", "random, own best"

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
        row |= {"unsteered": 0.02, "random_highest": random, "random_mean": random / 2}
        row |= {"random_same_dose_highest": 0.03, "random_same_dose_mean": 0.01}
        row |= {"shuffled": 0.06, "choice": "own rule" if own else "best depth on validation"}
        rows.append({k: v for k, v in row.items() if k not in ("source", "depth")})
    return pd.DataFrame(rows)


def bypasses(models: Sequence[str]) -> pd.DataFrame:
    rows = []
    for model in models:
        for k, kind in enumerate(("linear", "affine", "negative")):
            row = {"model": model, "kind": kind, "source": "dim", "depth": "0.4", "layer": 4}
            row |= {"dose": -0.1, "kl": (0.01, 0.05, 0.3)[k], "nll": 2.1, "nll_untouched": 2.0}
            row |= {"refusal_before": 0.9, "refusal_after": 0.2 * k, **rates(0.1 * k, 0.1)}
            rows.append(row | {"fewer_refusals": 1 - 0.2 * k / 0.9})
    return pd.DataFrame(rows)


def selection(models: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    rows = []
    for model, method, layer in itertools.product(models, methods, range(8)):
        for position in (-2, -1):
            better = 0.1 * layer - abs(position)
            scores = {"comply": better, "refuse": 1.0, "bypass": -better, "induce": 1.0}
            undefined = dict.fromkeys(scores, math.nan) if layer == 0 else scores
            where = {"layer": layer, "depth_percent": 10.0 * layer, "position": position}
            rows.append({"model": model, "method": method, **where, **undefined})
    return pd.DataFrame(rows)


def directions(models: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    rows = []
    for model, source, depth in itertools.product(models, methods, ("0.2", "free")):
        layer = 7 if depth == "free" else 2
        where = {"layer": layer, "depth_percent": 10.0 * layer, "position": -2}
        rows.append({"model": model, "source": source, "depth": depth, **where, "norm": 3.0})
    return pd.DataFrame(rows)


def cosines(models: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"model": m, "state": s, "depth_percent": 10.0 * s, "cosine": 0.9 - 0.02 * s if s else None}
        for m in models
        for s in range(N_LAYERS + 1)
    )


def agreement(models: Sequence[str]) -> pd.DataFrame:
    """DIM and COSMIC disagree on the first model only."""
    rows = []
    for k, model in enumerate(models):
        rate = {"coherent_first": 0.8, "coherent_second": 0.3, "difference": 0.5}
        tested = {"mcnemar_p": 0.0004 if k == 0 else 0.4, "disagree": k == 0}
        rows.append({"model": model, "first": "dim", "second": "cosmic", **rate, **tested})
    return pd.DataFrame(rows)


def samples(models: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    """Sixty answers a tested condition; the first is nasty, another would be a formula."""
    rows = []
    tested = conditions(models, methods, n_random=1)
    for row in tested[tested["phase"] == "test"].to_dict("records"):
        about = {name: row[name] for name in ("model", "phase", "source", "depth", "layer", "dose")}
        for k in range(60):
            response = {0: NASTY, 11: FORMULA}.get(k, f"I will not do {k}.")
            said = {"kind": "added", "prompt": f"Request {k}?", "response": response}
            judged = {"quality": "coherent", "strict": True, "seed": k < 9, "arditi": False}
            rows.append(about | said | judged)
    return pd.DataFrame(rows)


def every_table(
    models: Sequence[str] = ("alpha", "beta"), methods: Sequence[str] = ("dim", "cosmic")
) -> Tables:
    missing = [("model", "gamma", HOSTILE), ("beta", "dim|free", "no candidate passes")]
    return {
        "verdicts": verdicts(models, methods),
        "agreement": agreement(models),
        "bypass": bypasses(models),
        "conditions": conditions(models, methods),
        "directions": directions(models, methods),
        "selection": selection(models, methods),
        "cosines": cosines(models),
        "samples": samples(models, methods),
        "missing": pd.DataFrame(missing, columns=["what", "id", "reason"]),
    }


def draw(tables: Tables) -> Any:
    from figures.refusal import figures

    return figures(tables)


def marks(figure: Any, name: str) -> list[Any]:
    """Traces of exactly this name, keys of the legend left out."""
    return [t for t in figure.data if t.name == name and list(t.x) != [None]]


def texts(figure: Any, name: str | None = None) -> str:
    found = [a.text for a in figure.layout.annotations if name is None or a.name == name]
    return " ".join(found).replace("<br>", " ")


def title(figure: Any) -> str:
    return figure.layout.meta["title"]

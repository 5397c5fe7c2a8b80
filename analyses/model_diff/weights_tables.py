"""Tidy tables of weight differences, made from the record."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from analyses.model_diff.weights_plan import WeightsPlan
from tl_geometry.statistics import benjamini_hochberg
from tl_geometry.weight_statistics import (
    MiddleShare,
    chance_cosine,
    layer_alignment,
    middle_share,
)

Sets = Mapping[str, np.ndarray]
Row = dict[str, Any]
MATRICES = ("q", "k", "v", "o", "gate", "up", "down")
APPLIED = "applied"
"""What a change adds to the mean output of its matrix, or, by itself, of both in a layer."""
MEAN_COLUMN = "mean_column"
COMPARED = (MEAN_COLUMN, "o 0", "down 0", f"o {APPLIED}", f"down {APPLIED}", APPLIED)
"""Directions that are held against trait vectors."""
MARGIN = 0.05
"""A middle third that holds a uniform share, give or take so much, is evenly spread."""


def weight_tables(
    plan: WeightsPlan,
    rows: Sequence[Mapping[str, Any]],
    directions: Mapping[str, Tensor],
    sets: Sets,
) -> dict[str, pd.DataFrame]:
    norms = pd.DataFrame([_plain(r) for r in rows if r["key"].startswith("norm|")])
    found = [r for r in rows if r["key"].startswith("direction|")]
    table = pd.DataFrame(
        [{k: v for k, v in _plain(r).items() if not isinstance(v, list)} for r in found]
    )
    peaks = [r["peaks"] for r in rows if r["key"] == "chance"]
    if peaks and "peak" in table:
        chance = np.array(peaks[0])
        table["chance_peak"] = float(np.quantile(chance, 0.95))
        table["p_peak"] = [_above(chance, peak) for peak in table["peak"]]
    aligned, over = _alignment(plan, directions, sets)
    return {
        "norms": norms,
        "middle": pd.DataFrame(_middle(plan, norms)),
        "directions": table,
        "words": pd.DataFrame([word for row in found for word in _words(row)]),
        "alignment": aligned,
        "alignment_over_layers": over,
        "energy": _energies(rows),
        "missing": _missing(rows),
    }


def _plain(row: Mapping[str, Any]) -> Row:
    return {k: v for k, v in row.items() if k != "key"}


def _above(chance: np.ndarray, peak: float | None) -> float:
    """One-sided: random directions that peak as high."""
    if peak is None or np.isnan(peak):
        return float("nan")
    return float((1 + (chance >= peak).sum()) / (1 + len(chance)))


def _words(row: Mapping[str, Any]) -> list[Row]:
    if row["status"] != "ok":
        return []
    return [
        {"layer": row["layer"], "kind": row["kind"], "side": side, "rank": rank, "token": token,
         "logit": logit}
        for side in ("toward", "away")
        for rank, (token, logit) in enumerate(zip(row[side], row[f"{side}_logits"], strict=True))
    ]  # fmt: skip


def _middle(plan: WeightsPlan, norms: pd.DataFrame) -> list[Row]:
    """Of the matrices that every layer has."""
    named = norms["component"].str.split().str[-1].isin(MATRICES)
    matrices = norms[norms["layer"].notna() & named]
    grid = matrices.pivot_table(index="component", columns="layer", values="norm", aggfunc="first")
    grid = grid.dropna()
    about = {"quantity": "share of the squared change in the middle third of the layers"}
    try:
        rng = np.random.default_rng(plan.config.seed)
        found = middle_share(grid.to_numpy(float), rng=rng, n_resamples=plan.config.resamples)
    except ValueError as error:
        return [{**about, "status": "missing", "reason": str(error)}]
    ends, inner = found.share, found.inner
    return [
        {**about, "estimate": ends.estimate, "low": ends.low, "high": ends.high, "n": ends.n,
         "low_90": inner.low, "high_90": inner.high, "margin": MARGIN,
         "verdict": spread(found, MARGIN),
         "uniform": found.uniform, "first_layer": found.layers[0], "end_layer": found.layers[1],
         "windows": found.windows, "components": " ".join(map(str, grid.index)),
         "status": ends.status, "reason": ends.reason}
    ]  # fmt: skip


def spread(found: MiddleShare, margin: float) -> str:
    """`concentrated`, `evenly spread`, `less` than elsewhere, or `undecided`: no difference that
    can be seen is not yet none. What is even within the margin is so even if it differs from the
    uniform share by a little, clearly."""
    share, inner, uniform = found.share, found.inner, found.uniform
    if np.isnan([share.low, inner.low]).any():
        return "undecided"
    if uniform - margin <= inner.low and inner.high <= uniform + margin:
        return "evenly spread"
    if share.low > uniform:
        return "concentrated"
    return "less" if share.high < uniform else "undecided"


def _alignment(
    plan: WeightsPlan, directions: Mapping[str, Tensor], sets: Sets
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cosines layer by layer with exact p, and whether they are of layers: matched against
    shuffled ones."""
    rows: list[Row] = []
    over: list[Row] = []
    for kind in COMPARED:
        if kind not in directions:
            continue
        states = directions[kind].double().numpy()
        known = np.flatnonzero(np.isfinite(states).all(1))
        for name, vectors in sets.items():
            about = {"kind": kind, "set": name}
            for layer in known:
                found = chance_cosine(states[layer], vectors[layer])
                rows.append({**about, "layer": int(layer), **vars(found)})
            over.append({**about, **_over_layers(plan, states[known], vectors[known])})
    table = pd.DataFrame(rows)
    if not table.empty:
        # Every direction, set and layer was looked at.
        table["p_adjusted"] = benjamini_hochberg(table["p"].to_numpy(float))
    return table, pd.DataFrame(over)


def _over_layers(plan: WeightsPlan, states: np.ndarray, vectors: np.ndarray) -> Row:
    rng = np.random.default_rng(plan.config.seed)
    try:
        found = layer_alignment(states, vectors, rng=rng, n_permutations=plan.config.permutations)
    except ValueError as error:
        return {"n": len(states), "status": "missing", "reason": str(error)}
    names = ("matched", "shuffled", "random", "p", "p_shifted")
    numbers = {name: getattr(found, name) for name in names}
    return {"n": len(states), **numbers, "status": "ok", "reason": ""}


def _energies(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame([_plain(r) for r in rows if r["key"].startswith("energy|")])
    if not table.empty:
        table["p_adjusted"] = benjamini_hochberg(table["p"].to_numpy(float))
    return table


def _missing(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    gone = [r for r in rows if r["status"] != "ok"]
    found = [("weights", r["key"].replace("|", " "), r["reason"]) for r in gone]
    return pd.DataFrame(found, columns=np.array(["what", "id", "reason"]))

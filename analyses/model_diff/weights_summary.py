"""What tuning did to weights, in sentences; the plan's checkpoint behind phase 3."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analyses.model_diff.weights_plan import WeightsPlan
from analyses.sentences import interval, pocket_banner
from figures.rows import absent, records, select, values_of
from tl_geometry.runs import Run, versions

SIGN = 0.05
CANNOT_SAY = (
    "The mean column is ΔW applied to an input of ones, which no activation is; the basis of heads "
    "and of an MLP's inside is arbitrary, and another basis of the same model gives another "
    "vector. It is here because it was published.",
    "A singular direction stands for a change only where its energy is above what independent "
    "noise of that shape gives (`noise`): where the spectrum is flat, the first direction is an "
    "accident.",
    "Every direction has a top 20 of tokens. Only a peak that random directions do not reach "
    "says that the words mean something; `p_peak` is not corrected for the number of directions.",
    "Random directions are isotropic, residual streams are not: a few dimensions that are large "
    "in all layers raise cosines everywhere. Shuffled layers keep those dimensions; where "
    "neighbouring layers are alike believe the p of cyclic shifts.",
    "Norms count numbers: a matrix twice as large changes more for the same step. The interval of "
    "the middle third resamples components, not training runs: of another run it says nothing.",
    "A cosine between a change of weights and a trait vector says nothing of what the change does "
    "to activations: that depends on what enters the matrix.",
)


def summarize(
    plan: WeightsPlan, tables: Mapping[str, pd.DataFrame], record: Run, *, seconds: float
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions and seconds."""
    return {
        "analysis": "model_diff",
        "run": record.folder.name,
        "key": plan.spec.key,
        "banner": pocket_banner(model.spec for model in plan.models),
        "headline": list(headline(plan, tables)),
        "counts": {
            "components": len(tables["norms"]),
            "directions": len(tables["directions"]),
            "missing": len(tables["missing"]),
        },
        "cannot_say": list(CANNOT_SAY),
        "spec": plan.spec.as_dict(),
        "versions": versions(),
        "seconds": round(seconds, 1),
    }


def headline(plan: WeightsPlan, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    yield _largest(tables["norms"])
    yield from map(_middle, records(tables["middle"]))
    if not tables["directions"].empty:
        yield from _directions(tables["directions"])
    if not tables["alignment"].empty:
        yield _aligned(tables["alignment"])
        yield from _over(tables["alignment_over_layers"])
    if not tables["energy"].empty:
        yield _energy(tables["energy"])
    if plan.extraction is None and plan.config.step in ("all", "trait_alignment"):
        yield "No trait vectors are compared: --vectors names the run of `extract` to compare with."


def by_layer(norms: pd.DataFrame) -> dict[int, float]:
    """Layer → √Σ‖Δ‖² over its components."""
    squared: dict[int, float] = {}
    for row in records(norms):
        if not absent(row["layer"]):
            layer = int(row["layer"])
            squared[layer] = squared.get(layer, 0.0) + row["norm"] ** 2
    return {layer: value**0.5 for layer, value in sorted(squared.items())}


def _largest(norms: pd.DataFrame) -> str:
    layers = by_layer(norms)
    order = sorted(layers, key=lambda layer: -layers[layer])
    few = ", ".join(f"{layer} ({layers[layer]:.3g})" for layer in order[:3])
    relative: dict[str, list[float]] = {}
    for row in records(norms):
        if not absent(row["layer"]) and not absent(row["relative"]):
            relative.setdefault(row["component"], []).append(row["relative"])
    middle = {name: float(np.median(values)) for name, values in relative.items()}
    most = sorted(middle, key=lambda name: -middle[name])[:4]
    parts = ", ".join(f"{name} {100 * middle[name]:.0f} %" for name in most)
    return (
        f"Layers that changed most: {few}; least {order[-1]} ({layers[order[-1]]:.3g}), in "
        f"Frobenius norms over all components. Relative change, median over layers: {parts}."
    )


def _middle(row: Mapping[str, Any]) -> str:
    """The plan's fourth hypothesis."""
    if row["status"] != "ok" and absent(row.get("estimate")):
        return f"H4, the middle third of the layers: undefined ({row['reason']})."
    low, high, uniform = row["low"], row["high"], row["uniform"]
    verdict = "undecided"
    if not absent(low):
        if low > uniform:
            verdict = "the change is concentrated there"
        elif high < uniform:
            verdict = "there is less than elsewhere"
        else:
            verdict = "no concentration is seen"
    return (
        f"H4: layers {row['first_layer']} to {row['end_layer'] - 1}, the middle third, hold "
        f"{interval(row, digits=3)} of the squared change; an even change would have "
        f"{uniform:.3f} there: {verdict}."
    )


def _directions(table: pd.DataFrame) -> Iterator[str]:
    for kind in values_of(table, "kind"):
        if not str(kind).endswith(" 0"):
            continue
        rows = select(table, kind=kind, status="ok")
        if rows.empty:
            continue
        energy, noise = rows["energy"].to_numpy(float), rows["noise"].to_numpy(float)
        out = int((energy > 1.1 * noise).sum())
        loud = int((rows["p_peak"].to_numpy(float) < SIGN).sum())
        yield (
            f"First singular direction of Δ{str(kind).split()[0]}: {energy.min():.3f} to "
            f"{energy.max():.3f} of the energy, a tenth or more above independent noise in {out} "
            f"of {len(rows)} layers; in {loud} its words peak above 95 % of random directions "
            f"(about {SIGN * len(rows):.0f} by chance)."
        )


def _aligned(table: pd.DataFrame) -> str:
    clear = int((table["p_adjusted"].to_numpy(float) < SIGN).sum())
    worst = table.loc[table["cosine"].abs().idxmax()]
    return (
        f"Trait vectors and directions of the change have cosines of at most "
        f"{abs(float(worst['cosine'])):.2f} in size ({worst['kind']}, {worst['set']}, layer "
        f"{int(worst['layer'])}; a random direction's SD is {float(worst['sd']):.3f}); "
        f"{clear} of {len(table)} differ from random directions (Benjamini–Hochberg over all)."
    )


def _over(table: pd.DataFrame) -> Iterator[str]:
    good = select(table, status="ok")
    for kind in values_of(good, "kind"):
        rows = select(good, kind=kind)
        above = int((rows["p_shifted"].to_numpy(float) < SIGN).sum())
        yield (
            f"{kind}: mean |cosine| with the trait vector of the same layer "
            f"{rows['matched'].min():.3f} to {rows['matched'].max():.3f} (other layers "
            f"{rows['shuffled'].min():.3f} to {rows['shuffled'].max():.3f}, random "
            f"{rows['random'].mean():.3f}); an alignment of layers (cyclic shifts, p < {SIGN}, not "
            f"corrected) in {above} of {len(rows)} sets."
        )


def _energy(table: pd.DataFrame) -> str:
    clear = int((table["p_adjusted"].to_numpy(float) < SIGN).sum())
    ratio = table["share"].to_numpy(float) / table["expected"].to_numpy(float)
    return (
        f"Along trait vectors the changes write {np.median(ratio):.2f} times a random direction's "
        f"share (median; {ratio.min():.2f} to {ratio.max():.2f}); {clear} of {len(table)} are "
        "above random directions (Benjamini–Hochberg)."
    )


def checkpoint(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The plan's questions behind phase 3."""
    yield "Checkpoint: after phase 3"
    yield f"  {'Layer':<7} {'norm of Δ':<11} {'mean column':<13} {'o 0':<9} {'down 0':<9} toward"
    table, words = tables["directions"], tables["words"]
    for layer, norm in by_layer(tables["norms"]).items():
        cells = []
        for kind in ("mean_column", "o 0", "down 0"):
            rows = records(select(table, layer=layer, kind=kind)) if len(table) else []
            peak = rows[0].get("peak") if rows else None
            cells.append("–" if absent(peak) else f"{peak:.1f}")
        kind = {"kind": "mean_column", "side": "toward"}
        said = select(words, layer=layer, **kind) if len(words) else words
        first = " ".join(str(row["token"]) for row in records(said)[:4])
        yield f"  {layer:<7} {norm:<11.3g} {cells[0]:<13} {cells[1]:<9} {cells[2]:<9} {first}"
    yield "  (peak of the logit lens in standard deviations; random directions: chance_peak)"

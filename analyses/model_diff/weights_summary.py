"""What tuning did to weights, in sentences; the plan's checkpoint behind phase 3."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analyses.model_diff.weights_plan import WeightsPlan
from analyses.model_diff.weights_sentences import aligned, applied, directions, energy, over
from analyses.model_diff.weights_tables import APPLIED, MEAN_COLUMN
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from figures.rows import absent, records, select
from tl_geometry.runs import Run

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
    "A cosine between a singular direction and a trait vector says nothing of what the change does "
    "to activations: that depends on what enters the matrix.",
    "`applied` is what the change of one matrix, or of the two that write in a layer, adds to the "
    "base model's own mean output. In the tuned model other things enter, because layers in front "
    "have changed as well: it is no difference of the two models' activations. What all texts "
    "share is in the mean, so that little of it need have to do with a trait.",
)


def summarize(
    plan: WeightsPlan, tables: Mapping[str, pd.DataFrame], record: Run, *, seconds: float
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions and seconds."""
    return summary_of(
        plan.spec,
        record.folder.name,
        banner=pocket_banner(model.spec for model in plan.models),
        headline=headline(plan, tables),
        counts={
            "components": len(tables["norms"]),
            "directions": len(tables["directions"]),
            "missing": len(tables["missing"]),
        },
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def headline(plan: WeightsPlan, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    yield _largest(tables["norms"])
    yield from map(_middle, records(tables["middle"]))
    if not tables["directions"].empty:
        yield from directions(tables["directions"])
        yield from applied(tables["directions"])
    if not tables["alignment"].empty:
        yield aligned(tables["alignment"])
        yield from over(tables["alignment_over_layers"])
    if not tables["energy"].empty:
        yield energy(tables["energy"])
    if plan.extraction is None and plan.config.step == "logit_lens":
        yield "No change is applied to mean activations: --step all takes responses to do so."
    elif plan.extraction is None and plan.config.step != "norms":
        yield (
            "H4, alignment: no trait vectors are compared, and no change is applied to mean "
            "activations: --vectors names the run of `extract` to compare with and to take "
            "responses from."
        )


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
        return f"H4, concentration in the middle third of the layers: undefined ({row['reason']})."
    even = f"evenly spread within ±{row['margin']:g}"
    known = not absent(row["low_90"])
    inner = f" (90 % interval {row['low_90']:.3f} to {row['high_90']:.3f})" if known else ""
    says = {"concentrated": "the change is concentrated there",
            "less": "there is less than elsewhere",
            "evenly spread": f"the change is {even}",
            "undecided": f"undecided, neither concentrated nor {even}"}  # fmt: skip
    return (
        f"H4, concentration: layers {row['first_layer']} to {row['end_layer'] - 1}, the middle "
        f"third, hold {interval(row, digits=3)} of the squared change; an even change would have "
        f"{row['uniform']:.3f} there: {says[row['verdict']]}{inner}. "
        f"Of all windows of {row['end_layer'] - row['first_layer']} "
        f"neighbouring layers {100 * row['windows']:.0f} % hold as much, the middle among them."
    )


def checkpoint(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The plan's questions behind phase 3."""
    yield "Checkpoint: after phase 3"
    if tables["directions"].empty:
        for layer, norm in by_layer(tables["norms"]).items():
            yield f"  layer {layer:<4} norm of Δ {norm:.3g}"
        return
    kinds = {MEAN_COLUMN: "mean column", "o 0": "o 0", "down 0": "down 0", APPLIED: APPLIED}
    heads = "".join(f"{head:<13}" for head in kinds.values())
    yield f"  {'Layer':<7} {'norm of Δ':<11} {heads}toward (mean column)"
    table, words = tables["directions"], tables["words"]
    for layer, norm in by_layer(tables["norms"]).items():
        cells = []
        for kind in kinds:
            rows = records(select(table, layer=layer, kind=kind)) if len(table) else []
            peak = rows[0].get("peak") if rows else None
            cells.append("–" if absent(peak) else f"{peak:.1f}")
        column = {"kind": MEAN_COLUMN, "side": "toward"}
        said = select(words, layer=layer, **column) if len(words) else words
        first = " ".join(str(row["token"]) for row in records(said)[:4])
        yield f"  {layer:<7} {norm:<11.3g} " + "".join(f"{cell:<13}" for cell in cells) + first
    if "chance_peak" not in table:  # no direction was found
        return
    chance = table["chance_peak"].max()
    yield "  (o 0, down 0: first singular directions of Δo and Δdown. Numbers: peak of the logit"
    yield f"  lens in standard deviations; 95 % of random directions stay below {chance:.1f})"

"""What a run found, in sentences and numbers: the source of `summary.json` and of the report."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.cross_architecture.effects import software_checks
from analyses.cross_architecture.plan import Plan
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from figures.rows import records, select
from tl_geometry.runs import Run

if TYPE_CHECKING:
    from analyses.cross_architecture.experiment import Measured

CANNOT_SAY = (
    "R_V read at the patched layer is an identity: donor's late PR over target's early PR. It says "
    "nothing about a model and is marked as definitional; findings are read behind the patch.",
    "A gap between the kinds of text is a gap between these texts. Words alone tell them apart "
    "(table baselines), and matching on length, repetition and perplexity does not match wording.",
    "The critical layer is the best of many. Its effect is measured on prompts that the choice did "
    "not see, and its place is as sure as its bootstrap distribution is narrow, no surer.",
    "Models are no random sample of models. Random effects and the prediction interval speak of "
    "models like these; one checkpoint a family says nothing about seeds.",
    "Models that share training text, or descend from one another, agree for that reason too.",
    "Groups by architecture are lists, not tests: models differ in everything at once.",
    "The participation ratio is uncentred, so a shared mean direction and unequal row norms move "
    "it.",
)


def summarize(
    plan: Plan,
    found: "Measured",
    tables: Mapping[str, pd.DataFrame],
    record: Run,
    *,
    seconds: float,
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions and seconds."""
    checks = {r.name: software_checks(r) for r in found.models}
    return summary_of(
        plan.spec,
        record.folder.name,
        banner=pocket_banner(model.spec for model in plan.models),
        headline=headline(tables),
        counts={
            "models attempted": len(plan.models),
            "models measured": len(found.models),
            "missing": len(plan.models) - len(found.models),
            "pairs a model": plan.n_pairs,
            "texts a model": {r.name: len(r.texts) for r in found.models},
        },
        layers={r.name: dict(r.roles) for r in found.models},
        window=plan.config.window,
        software_checks=checks,
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def headline(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The verdict and what it rests on."""
    (answer,) = records(tables["verdict"])
    sentences = [
        "R_V of a layer is the participation ratio (effective number of directions) of the value "
        "vectors of a text's last tokens there, over the same at an early layer; the gap is "
        "self-observing minus plain texts.",
        f"Is the critical layer universal? {answer['verdict'].capitalize()}: {answer['why']}.",
    ]
    sentences += _summaries(tables["meta"])
    sentences += [_place(row) for row in records(tables["concordance"])]
    sentences += [_model(row) for row in records(tables["comparison"])]
    return sentences


def _summaries(meta: pd.DataFrame) -> list[str]:
    found = []
    for effect in dict.fromkeys(meta["effect"].tolist()):
        rows = {row["quantity"]: row for row in records(select(meta, effect=effect, without=""))}
        mean = rows["mean"]
        if mean["status"] != "ok":
            found.append(f"{effect.capitalize()}: no summary ({mean['reason']}).")
            continue
        prediction, joint = rows["prediction"], rows["mean of these models"]
        found.append(
            f"{effect.capitalize()}: mean {mean['unit']} over {mean['models']} models "
            f"{interval(mean)}, I² = {100 * mean['i2']:.0f} %, expected of a further model: "
            f"{interval(prediction)}; of these very models, with their shared prompts resampled, "
            f"{interval(joint)} (their errors correlate by {joint['correlation']:.2f} on average; "
            "the other two intervals take this for 0)."
        )
    return found


def _place(row: Mapping[str, Any]) -> str:
    return (
        f"Critical depth by the definition “{row['definition']}”: two models lie "
        f"{row['mean_distance']:.1f} points of depth apart on average "
        f"[{row['low']:.1f}, {row['high']:.1f}], {row['by_chance']:.1f} by chance "
        f"(p = {row['p_nearer_than_chance']:.3g})."
    )


def _model(row: Mapping[str, Any]) -> str:
    if row["status"] != "ok":
        return f"{row['model']}: not measured ({row['reason']})."
    transfer = (
        f"undefined ({row['transfer_reason']})"
        if pd.isna(row["transfer_low"])
        else interval(row, "transfer_", estimate="transfer_estimate")
    )
    twin = (
        f" (random weights, at layer {row['untrained_layer']:.0f}: "
        f"{interval(row, 'untrained_g_', estimate='untrained_g')})"
        if not pd.isna(row.get("untrained_layer", float("nan")))
        else ""
    )
    return (
        f"{row['model']}: critical layer {row['critical_layer']:.0f} of {row['n_layers']:.0f} "
        f"({row['depth_percent']:.0f} %; 95 % of resamples choose {row['depth_low']:.0f} to "
        f"{row['depth_high']:.0f} %), g = {interval(row, 'g_', estimate='g')}{twin}, of log PR "
        f"there alone {interval(row, 'late_g_', estimate='late_g')}; behind a patch there, the "
        "donor's kind adds d_z = "
        f"{interval(row, 'excess_d_z_', estimate='excess_d_z')} at the last layer, transfer "
        f"{transfer}."
    )

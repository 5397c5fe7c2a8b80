"""What a run found, in sentences and numbers: the source of `summary.json` and of the report."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from analyses.homeostasis.conditions import CHECKS
from analyses.homeostasis.plan import Plan
from analyses.homeostasis.resampler import Resampler, couples
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from tl_geometry.bootstrap import Interval
from tl_geometry.catalogue import is_pocket
from tl_geometry.resampling import mean_of
from tl_geometry.runs import Run

CANNOT_SAY = (
    "R_V read at the patched layer is an identity: donor's late PR over target's early PR. It "
    "says nothing about the model, and is marked “by definition”.",
    "Recovery alone is not compensation. At the patch, values are overwritten; one layer later "
    "they are computed from a stream that the patch has moved a little. Only what exceeds the "
    "`passive` condition can be an answer of later layers, and where `passive` leaves little, "
    "little can be one.",
    "Σ|Δ| also grows by scatter that has nothing to do with the patch; `signed_recovery` in "
    "recovery.csv counts only what is left of the patch's own change.",
    "R_V(last) − R_V(patch) has a sign: positive where a contraction, negative where an expansion "
    "came back. Its mean over pairs of both kinds says little.",
    "Frozen and released contributions answer different questions and need not agree or add up.",
    "A correlation across pairs is not a mechanism; only holding a component still is an "
    "intervention, and it takes the model off the states it was trained on.",
    "Intervals resample pairs of this bank, taken as independent: prompts that share a topic or an "
    "ending are not quite. They say nothing of other prompts, seeds or models.",
    "The participation ratio here is uncentred, so a shared mean direction and unequal row norms "
    "move it; layers.csv holds the centred and row-normalised variants.",
)


def summarize(
    plan: Plan, tables: Mapping[str, pd.DataFrame], record: Run, *, seconds: float
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions and seconds."""
    setup, missing = plan.setup, tables["missing"]
    return summary_of(
        plan.spec,
        record.folder.name,
        model={
            **plan.spec.as_dict()["model"],
            "family": plan.model.family,
            "pocket": is_pocket(plan.model),
            "parameters": plan.size.parameters,
        },
        banner=pocket_banner([plan.model]),
        headline=headline(tables, natural_gap(tables["pairs"], plan)),
        counts={
            "attempted": plan.n_pairs,
            "measured": len(tables["pairs"]),
            "missing": plan.n_pairs - len(tables["pairs"]),
            "prompts_left_out": list(missing["what"]).count("prompt"),
        },
        layers={
            "patch": setup.patch_layer,
            "early": setup.early_layer,
            "n_layers": plan.size.n_layers,
        },
        window=setup.window,
        software_checks=software_checks(tables["layers"]),
        cannot_say=CANNOT_SAY,
        batch_size=max(map(len, record.plan["batches"])),
        seconds=seconds,
    )


def natural_gap(pairs: pd.DataFrame, plan: Plan) -> Interval:
    """log R_V at the patch layer with nothing patched: self-observing minus plain text."""
    layer = plan.setup.patch_layer
    logs = [np.log(pairs[f"r_v_{side}_L{layer}"].to_numpy(float)) for side in ("donor", "target")]
    n, config = len(pairs), plan.config
    resampler = Resampler(n, config.resamples, config.seed, couples(n))
    return resampler.bca(mean_of(logs[0] - logs[1])).interval()


def headline(tables: Mapping[str, pd.DataFrame], gap: Interval) -> list[str]:
    """Is there a gap, what is left behind the patch, and one sentence a hypothesis."""
    sentences = [
        "R_V of a layer is the participation ratio (effective number of directions) of the value "
        "vectors of a text's last tokens there, over the same at an early layer. The patch writes "
        "the values of a self-observing text, one that attends to its own writing, into a plain "
        "one.",
        "With nothing patched, log R_V of self-observing minus plain texts at the patch layer is "
        f"{_interval(asdict(gap))}.",
        _recovery_sentence(tables["recovery"]),
        _push_sentence(tables["recovery"]),
    ]
    for row in tables["hypotheses"].to_dict("records"):
        name = row["hypothesis"].replace("_", " ").capitalize().replace("Mlp", "MLP")
        effect = _interval(row) if row["status"] == "ok" else row["reason"]
        note = f", {row['note']}" if row["note"] else ""
        sentences.append(f"{name}: {row['verdict']}{note}. {row['effect']} = {effect}.")
    return sentences


def _recovery_sentence(recovery: pd.DataFrame) -> str:
    last = max(recovery["layer"])
    rows = {
        (row["condition"], row["quantity"]): row
        for row in recovery.to_dict("records")
        if row["readout"] == "r_v" and row["layer"] == last
    }
    patched, passive = rows["patched", "recovery"], rows["passive", "recovery"]
    excess = rows["patched", "excess_recovery"]
    return (
        f"By the last layer (L{last}), {_interval(patched)} of the patch's change of "
        f"log R_V is gone; {_interval(passive)} is gone when no later block answers, which "
        f"leaves {1 - passive['estimate']:.2f} for compensation to act on. "
        f"Excess of R_V's recovery over passive: {_interval(excess)}, n = {patched['n']} pairs."
    )


def _push_sentence(recovery: pd.DataFrame) -> str:
    """Is what remains more than any push of the same size does?"""
    last = max(recovery["layer"])
    rows = {
        row["condition"]: row
        for row in recovery.to_dict("records")
        if (row["readout"], row["layer"], row["quantity"]) == ("r_v", last, "mean_absolute_change")
    }
    patched = f"Mean |Δ log R_V| at L{last}: {_interval(rows['patched'], 4)} behind the patch"
    if "random_residual" not in rows:
        return f"{patched}."
    return f"{patched}, {_interval(rows['random_residual'], 4)} behind a random push of its size."


def _interval(row: Mapping[str, Any], digits: int = 3) -> str:
    ok = row["status"] == "ok"
    return interval(row, digits=digits) if ok else f"undefined ({row['reason']})"


def software_checks(layers: pd.DataFrame) -> dict[str, float]:
    """Both must be zero: the first exactly, the second up to rounding.

    `self` writes a text's own values back. `shuffled_rows` patches the donor's rows in another
    order, which cannot change the participation ratio at the patch layer.
    """
    rows = layers.to_dict("records")
    own = [abs(row["delta_log_r_v"]) for row in rows if row["condition"] == CHECKS[0]]
    checks = {"self_max_abs_change": max(own)}
    site = {(r["pair_index"], r["condition"]): r["pr_value"] for r in rows if r["definitional"]}
    differences = [
        abs(value - site[pair, "patched"])
        for (pair, condition), value in site.items()
        if condition == CHECKS[1]
    ]
    if differences:
        checks["shuffled_rows_max_abs_difference_at_patch"] = max(differences)
    return checks

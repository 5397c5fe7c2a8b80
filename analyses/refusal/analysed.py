"""From the record of each step to its tables."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from analyses.refusal import decisions, precision
from analyses.refusal import tables as tidy
from analyses.refusal.config import Families, Quantization, Sizes, Steered
from analyses.refusal.curves import curve_table
from analyses.refusal.paired import agreement, coherent_by_prompt
from analyses.refusal.plan import Plan
from analyses.refusal.verdict import verdict_table
from figures.rows import records, select

Tables = dict[str, pd.DataFrame]


def analysed(plan: Plan, found: Sequence[tidy.Recorded], failed: Mapping[str, str]) -> Tables:
    """Every table of a run; `failed` holds the reasons of models that were not measured."""
    missing = [("model", name, reason) for name, reason in failed.items()]
    for one in found:
        missing += [(one.model.name, what, why) for what, why in one.done["missing"].items()]
    return {
        **OF_STEP[type(plan.config)](plan, found),
        "samples": tidy.samples(found, plan),
        "missing": pd.DataFrame(missing, columns=["what", "id", "reason"]),
    }


def _shared(plan: Plan, found: Sequence[tidy.Recorded]) -> Tables:
    conditions, effects = tidy.conditions(found), tidy.effects(found)
    verdicts = verdict_table(conditions, plan.config.methods, effects)
    return {
        "verdicts": verdicts,
        "agreement": agreement(verdicts, tidy.answers(found)),
        "conditions": conditions,
        "side_effects": effects,
        "directions": tidy.directions(found),
        "selection": tidy.selection(found),
        "cosines": tidy.cosines(found),
    }


def _families(plan: Plan, found: Sequence[tidy.Recorded]) -> Tables:
    tables = _shared(plan, found)
    everywhere = all(one.fallback for one in found)
    decided = decisions.after_families(tables["verdicts"], tables["agreement"], everywhere)
    return {
        **tables,
        "bypass": tidy.bypasses(found),
        "bypass_controls": tidy.bypass_controls(found),
        "decisions": decisions.decision_table(decided),
    }


def _sizes(plan: Plan, found: Sequence[tidy.Recorded]) -> Tables:
    tables = _shared(plan, found)
    names = sorted((one.model.name for one in found), key=lambda name: parameters(plan)[name])
    said = tidy.answers(found)
    best = records(select(tables["verdicts"], choice=decisions.BEST))
    refused = {
        method: {
            row["model"]: coherent_by_prompt(said[row["model"], method, row["depth"], row["dose"]])
            for row in best
            if row["method"] == method
        }
        for method in plan.config.methods
    }
    curve = curve_table(refused, names, plan.config.seed)
    models = tables["verdicts"]["model"].tolist()
    tables["verdicts"]["parameters"] = [parameters(plan)[name] for name in models]
    decided = decisions.after_sizes(tables["verdicts"], curve)
    return {**tables, "curve": curve, "decisions": decisions.decision_table(decided)}


def parameters(plan: Plan) -> dict[str, int]:
    return {m.name: m.size.parameters for m in plan.models if m.size is not None}


def _precisions(plan: Plan, found: Sequence[tidy.Recorded]) -> Tables:
    table = precision.precision_table(found)
    return {
        "precision": table,
        "precision_cosines": precision.precision_cosines(found),
        "conditions": tidy.conditions(found),
        "directions": tidy.directions(found),
        "decisions": decisions.decision_table(decisions.after_quantization(table)),
    }


OF_STEP: Mapping[type[Steered], Callable[[Plan, Sequence[tidy.Recorded]], Tables]] = {
    Families: _families,
    Sizes: _sizes,
    Quantization: _precisions,
}

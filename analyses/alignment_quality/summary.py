"""What a run found, in sentences: the source of `summary.json` and of the report."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.alignment_quality.cells import MEAN
from analyses.alignment_quality.measure import UNTRAINED
from analyses.alignment_quality.plan import Plan
from analyses.alignment_quality.words import WORDS
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from figures.rows import count, records, select
from tl_geometry.aqi import Reference
from tl_geometry.runs import Run

if TYPE_CHECKING:
    from analyses.alignment_quality.experiment import Found

CANNOT_SAY = (
    "Safe and unsafe inputs that lie apart show that a model tells the inputs apart: their topic, "
    "style or length may be what it tells. That it behaves accordingly, only its answers can show.",
    "A base model separates them too. What training for safety adds is instruct minus base, on "
    "the same items.",
    "η² is the share of all variance that lies between the classes: one strong direction among "
    "many others gives a small η² and a probe AUC of 1. The two answer different questions.",
    "CHI grows with n, XBI is CHI told otherwise, and the published AQI scales both within one "
    "model: it ranks a model's axioms and cannot compare models. The frozen scale can.",
    "t-SNE magnifies noise: a published AQI moves by what the columns `_moves` say when the "
    "seventh digit of the states changes.",
    "Permuted labels test whether labels matter, not whether what they stand for does.",
)


def summarize(
    plan: Plan,
    found: "Found",
    tables: Mapping[str, pd.DataFrame],
    record: Run,
    reference: Reference | str,
    *,
    seconds: float,
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions, seconds and effort."""
    return summary_of(
        plan.spec,
        record.folder.name,
        banner=pocket_banner(model.spec for model in plan.models),
        headline=headline(plan, tables),
        counts={
            "models attempted": len(plan.models),
            "models measured": sum(model.name in found.headlines for model in plan.models),
            "missing": len(found.failed),
            "rows of missing.csv": len(tables["missing"]),
            "items": len(plan.items.items),
            "items of each axiom and label": plan.items.per_cell,
            "asked for": plan.items.asked,
            "rows dropped": dict(plan.items.dropped),
        },
        effort=found.effort,
        cannot_say=CANNOT_SAY,
        seconds=seconds,
        **{"frozen scale": reference if isinstance(reference, str) else vars(reference)},
    )


def headline(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    models = records(tables["models"])
    return [
        _what(plan),
        _best(models),
        *_published(models),
        *_against_base(tables),
        *_nulls(tables),
    ]


def _what(plan: Plan) -> str:
    items, config = plan.items, plan.config
    axioms, layer = len(items.axioms), f"{100 * config.depth:g} % of the depth"
    fewer = "" if items.per_cell == items.asked else f", all there are of {items.asked} asked for"
    return (
        f"{items.per_cell} safe and {items.per_cell} unsafe inputs of each of {axioms} axioms "
        f"({items.name}{fewer}), {config.pool[0]} pooling, at {layer}: adjusted η² is the share of "
        "the variance inside an axiom that lies between safe and unsafe, less what chance gives."
    )


def _best(models: list[dict[str, Any]]) -> str:
    first = models[0]
    about = f"{first['model']}, {_eta(first)}, probe AUC {first['auc']:.2f}"
    if len(models) == 1:
        return f"Mean η² of the axioms: {about}. One model has nothing to be the highest of."
    return (
        f"Baseline model (highest mean η² of the axioms): {about}; it is the highest in "
        f"{first['highest_in_resamples']:.0%} of resamples. Lowest: {models[-1]['model']}, "
        f"{_eta(models[-1])}."
    )


def _published(models: list[dict[str, Any]]) -> list[str]:
    if "aqi_overall" not in models[0]:
        return []
    table = pd.DataFrame(models)
    by = {name: table.sort_values(name, ascending=False)["model"].iloc[0] for name in _AQIS}
    constants = count(table["no_measurement"] != "")
    return [
        f"As published, the baseline would be {by['aqi_overall']} by the pool's AQI "
        f"({table['aqi_overall'].max():.1f}) and {by['aqi_axiom_mean']} by the mean over axioms "
        f"({table['aqi_axiom_mean'].max():.1f}). {constants} of {len(table)} pool values hold a "
        f"part that is set by definition; noise in the seventh digit moves the pool's AQI by up to "
        f"{table['aqi_overall_moves'].max():.1f} points and the mean by up to "
        f"{table['aqi_axiom_mean_moves'].max():.1f}."
    ]


_AQIS = ("aqi_overall", "aqi_axiom_mean")


def _against_base(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    rows = records(tables["differences"])
    if not rows:
        return []
    higher = [row["model"] for row in rows if row["found"] == "higher"]
    lower = [row["model"] for row in rows if row["found"] == "lower"]
    expected = [row for row in rows if row["expected"] == "higher"]
    held = [row["model"] for row in expected if row["found"] == "higher"]
    said = [
        f"Instruct minus base on the same items, η²: higher in {len(higher)} of {len(rows)} pairs "
        f"({', '.join(higher) or 'none'}), lower in {len(lower)} ({', '.join(lower) or 'none'})."
    ]
    if expected:
        said.append(
            f"Of {len(expected)} models that were taught to refuse the unsafe inputs and not the "
            f"safe ones, {len(held)} separate them more than their base does (interval above 0)."
        )
    return said


def _nulls(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    shuffled = select(tables["controls"], axiom=MEAN)
    pools, models = (shuffled[name].unique() for name in ("pool", "model"))
    said = [
        f"Under one shuffle of the labels, the same for {len(models)} models and "
        f"{' and '.join(pools)} pooling, the mean η² lies between {shuffled['eta'].min():.3f} and "
        f"{shuffled['eta'].max():.3f} ({_excluding(shuffled, 'eta', 0)} intervals exclude 0), the "
        f"mean AUC between {shuffled['auc'].min():.2f} and {shuffled['auc'].max():.2f} "
        f"({_excluding(shuffled, 'auc', 0.5)} exclude 0.5). Intervals hold the probe fixed: "
        "another shuffle moves all AUCs together, and their chance lies just below 0.5 "
        "(docs/alignment.md)."
    ]
    separation = tables["separation"]
    at_headline = select(separation, axiom=MEAN, headline=True)
    words = records(select(at_headline, model=WORDS))
    random = select(at_headline, stage="random weights")
    random = select(random, pool=random["pool"].iloc[0]) if len(random) else random
    if words and not pd.isna(words[0]["auc"]):
        said.append(_baselines(words[0], records(random), records(tables["models"])))
    return said


def _excluding(table: pd.DataFrame, name: str, chance: float) -> str:
    outside = (table[f"{name}_low"] > chance) | (table[f"{name}_high"] < chance)
    return f"{count(outside)} of {len(table)}"


def _baselines(
    words: Mapping[str, Any], random: list[dict[str, Any]], models: list[dict[str, Any]]
) -> str:
    """Both measures: one that a bag of words reaches is none of the model's making."""
    below = sum(row["eta"] < words["eta"] for row in models)
    said = (
        f"Words alone (bag of words, held-out contents): η² {_eta(words)}, above that of {below} "
        f"of {len(models)} models in their own spaces, AUC {words['auc']:.2f}"
    )
    if random:
        best = max(random, key=lambda row: np.nan_to_num(row["eta"], nan=-np.inf))
        said += (
            f"; random weights reach η² {_eta(best)} ({best['model'].removesuffix(UNTRAINED)}) and "
            f"AUC {max(row['auc'] for row in random):.2f}"
        )
    return f"{said}: what a model adds has to be read against that."


def _eta(row: Mapping[str, Any]) -> str:
    return interval(row, "eta_", digits=3, estimate="eta")

"""Tidy tables from what was recorded of each model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyses.alignment_quality.cells import MEAN
from analyses.alignment_quality.compare import differences, ranking
from analyses.alignment_quality.draws import Row
from analyses.alignment_quality.measure import UNTRAINED
from analyses.alignment_quality.plan import Plan
from analyses.alignment_quality.words import WORDS
from analyses.requested import ModelPlan
from figures.rows import records, select
from tl_geometry.aqi import OVERALL, Reference, frozen_score
from tl_geometry.bootstrap import Interval
from tl_geometry.sites import depth_percent

if TYPE_CHECKING:
    from analyses.alignment_quality.experiment import Found

PUBLISHED_MEAN = "mean of axioms"


def tables_of(plan: Plan, found: "Found", reference: Reference | str) -> dict[str, pd.DataFrame]:
    """Every table of the run, the most telling first."""
    trained = [model.name for model in plan.models if model.name in found.headlines]
    ranks = pd.DataFrame(ranking({name: found.headlines[name] for name in trained}))
    tables = {
        "separation": pd.DataFrame(_separation(plan, found)),
        "controls": pd.DataFrame(_of_phase(found, "controls", "shuffled labels")),
        "matched": pd.DataFrame(_matched(found)),
        "published": pd.DataFrame(_published(found)),
        "differences": _differences(plan, found),
        "dropped": pd.DataFrame(plan.items.dropped.items(), columns=["reason", "rows"]),
        "missing": _missing(plan, found),
    }
    tables["models"] = _models(plan, ranks, tables["published"], reference)
    first = ("models", "differences", "separation")
    return {name: tables[name] for name in dict.fromkeys((*first, *tables))}


def stage(plan: Plan, name: str) -> str:
    """instruct, base, random weights, or words."""
    if name == WORDS:
        return "words"
    if name.endswith(UNTRAINED):
        return "random weights"
    bases = {model.spec.base for model in plan.models}
    return "base" if name in bases or name.endswith("-base") else "instruct"


def _separation(plan: Plan, found: "Found") -> Iterator[Row]:
    sized = {model.name: model for model in plan.models if model.size}
    for name, phases in found.rows.items():
        model = sized.get(name.removesuffix(UNTRAINED))
        for row in phases["separation"]:
            where = _where(plan, model, row.get("layer"))
            about = {"model": name, "stage": stage(plan, name), "pool": row["pool"], **where}
            for axiom, cell in row["cells"].items():
                yield {**about, "axiom": axiom, **cell}


def _where(plan: Plan, model: ModelPlan | None, layer: int | None) -> Row:
    """Bags of words have no layer; their one space stands beside the models' headlines."""
    if model is None or model.size is None or layer is None:
        return {"layer": None, "depth_percent": np.nan, "headline": True}
    return {
        "layer": layer,
        "depth_percent": depth_percent(layer, model.size.n_layers),
        "headline": layer == plan.headline_layer(model),
    }


def _of_phase(found: "Found", phase: str, control: str) -> Iterator[Row]:
    for name, phases in found.rows.items():
        for row in phases.get(phase, ()):
            for axiom, cell in row["cells"].items():
                yield {
                    "model": name,
                    "control": control,
                    "pool": row["pool"],
                    "axiom": axiom,
                    **cell,
                }


def _matched(found: "Found") -> Iterator[Row]:
    for name, phases in found.rows.items():
        for row in phases.get("matched", ()):
            for subset, cell in row["subsets"].items():
                yield {"model": name, "subset": subset, "pool": row["pool"], **cell}


def _published(found: "Found") -> Iterator[Row]:
    for name, phases in found.rows.items():
        for row in phases.get("published", ()):
            for cell in row["rows"]:
                yield {"model": name, **cell}


def _differences(plan: Plan, found: "Found") -> pd.DataFrame:
    columns = ["model", "base", "eta", "eta_low", "eta_high", "auc", "expected", "found"]
    rows = differences(plan.pairs, found.headlines)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def _models(
    plan: Plan, ranks: pd.DataFrame, published: pd.DataFrame, reference: Reference | str
) -> pd.DataFrame:
    """One row a model: the headline, the comparable AQI, and the published ones beside."""
    rows = []
    for row in records(ranks):
        name = row["model"]
        about = {"model": name, "stage": stage(plan, name), "n": len(plan.items.items)}
        rows.append({**about, **row, **_frozen(row, reference), **_as_published(published, name)})
    return pd.DataFrame(rows)


def _frozen(row: Mapping[str, Any], reference: Reference | str) -> Row:
    """The comparable AQI of the mean over axioms."""
    if isinstance(reference, str):
        return {"aqi_frozen": np.nan, "aqi_frozen_reason": reference}
    eta = Interval(row["eta"], row["eta_low"], row["eta_high"], 0.95, 0, "BCa")
    score = frozen_score(eta, reference)
    ends = {"aqi_frozen_low": score.low, "aqi_frozen_high": score.high}
    return {"aqi_frozen": score.estimate, **ends, "aqi_frozen_reason": ""}


def _as_published(published: pd.DataFrame, name: str) -> Row:
    """Both numbers that were called the AQI of a model, and how far noise moves each."""
    if published.empty:
        return {}
    mine = select(published, model=name)
    said: Row = {}
    for short, axiom in (("aqi_overall", OVERALL), ("aqi_axiom_mean", PUBLISHED_MEAN)):
        rows = records(select(mine, axiom=axiom))
        values: Sequence[float] = [row["aqi"] for row in rows]
        plain = [row["aqi"] for row in rows if row["reseed"] == 0]
        said[short] = plain[0] if plain else np.nan
        said[f"{short}_moves"] = float(np.ptp(values)) if len(values) > 1 else np.nan
    overall = records(select(mine, axiom=OVERALL, reseed=0))
    said["no_measurement"] = overall[0]["no_measurement"] if overall else ""
    return said


def _missing(plan: Plan, found: "Found") -> pd.DataFrame:
    rows = [("model", name, reason) for name, reason in found.failed.items()]
    if unsourced := not _compares_sources(plan):
        rows.append(("equal source", "all models", "the data names no source with both labels"))
    for name, phases in found.rows.items():
        for row in phases.get("matched", ()):
            for subset, cell in row["subsets"].items():
                if cell["reason"] and not (unsourced and subset == "equal source"):
                    rows.append((f"{subset}, {row['pool']}", name, cell["reason"]))
        for row in phases["separation"]:
            if reason := row["cells"][MEAN]["reason"]:
                rows.append((f"separation at layer {row.get('layer')}", name, reason))
    return pd.DataFrame(rows, columns=["what", "id", "reason"])


def _compares_sources(plan: Plan) -> bool:
    """Does any source have safe and unsafe inputs of one axiom?"""
    sides = ({(i.axiom, i.source) for i in plan.items.items if i.safe is s} for s in (True, False))
    return any(source for _, source in set.intersection(*sides))

"""The frozen scale of the comparable AQI: shipped for the embedded models' items, or of a run."""

import json
from pathlib import Path

import pandas as pd

from analyses.alignment_quality.cells import MEAN, POOLED
from analyses.alignment_quality.plan import Plan
from figures.rows import select
from tl_geometry.aqi import Reference, fit_reference
from tl_geometry.runs.folders import read_json

SHIPPED = Path(__file__).parent / "reference.json"
"""Adjusted η² of the embedded base models: items, pooling and depth are part of its name."""


def reference_of(plan: Plan) -> Reference | str:
    """The scale that this request is scored on, or why there is none.

    ValueError for a named run that does not exist or was not measured with the same items.
    """
    if plan.config.reference is not None:
        return _of_run(Path(plan.config.reference), plan)
    known = json.loads(SHIPPED.read_text("utf-8")) if SHIPPED.is_file() else {}
    if known.get("scale") != scale(plan):
        return (
            "no scale was fixed for these items, pooling and depth: name a finished run of "
            "the same with --reference"
        )
    return Reference(**known["reference"])


def scale(plan: Plan) -> str:
    """What a scale holds for."""
    config = plan.config
    return f"{plan.items.content_hash[:12]}, {config.pool[0]}, depth {config.depth:g}"


def _of_run(folder: Path, plan: Plan) -> Reference:
    if not (folder / "summary.json").is_file():
        raise ValueError(f"--reference {folder} is not a finished run of alignment_quality")
    recorded = read_json(folder / "spec.json")["spec"]
    if recorded["prompts_hash"] != plan.items.content_hash:
        raise ValueError(f"--reference {folder} was measured with other items: scales do not carry")
    return fit(pd.read_csv(folder / "tables" / "separation.csv"), plan.config.pool[0], folder.name)


def fit(separation: pd.DataFrame, pool: str, name: str) -> Reference:
    """From every axiom of every model of a run, at the headline's layer."""
    at_headline = select(separation, pool=pool, headline=True, stage=("instruct", "base"))
    cells = at_headline[~at_headline["axiom"].isin([POOLED, MEAN])]
    return fit_reference([eta for eta in cells["eta"].tolist() if not pd.isna(eta)], name)

"""The plan's JSON files of the weight analysis, made from the record; nothing reads them back."""

from collections.abc import Mapping

import pandas as pd

from analyses.model_diff.weights_plan import WeightsPlan
from analyses.work import without_nan
from figures.rows import records, select, values_of
from tl_geometry.runs import Run, atomic


def export_weights(plan: WeightsPlan, record: Run, tables: Mapping[str, pd.DataFrame]) -> None:
    """`export/weight_analysis/`: norms.json, logit_lens.json, trait_alignment.json."""
    place = record.folder / "export" / "weight_analysis"
    atomic.write_json(place / "norms.json", without_nan(_norms(tables["norms"])))
    if not tables["words"].empty:
        atomic.write_json(place / "logit_lens.json", _words(tables["words"]))
    if not tables["alignment"].empty:
        listed = records(tables["alignment"])
        atomic.write_json(place / "trait_alignment.json", without_nan({"cosines": listed}))


def _norms(norms: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Layer → component → norm and relative change; what is in no layer under `outside`."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in records(norms):
        layer = "outside" if pd.isna(row["layer"]) else str(int(row["layer"]))
        cell = {"norm": row["norm"], "base_norm": row["base_norm"], "relative": row["relative"]}
        name = row["tensor"] if layer == "outside" else row["component"]
        found.setdefault(layer, {})[name] = cell
    return found


def _words(words: pd.DataFrame) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Layer → kind → side → tokens, strongest first."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for layer in values_of(words, "layer"):
        mine = select(words, layer=layer)
        for row in records(mine):
            kinds = found.setdefault(str(layer), {}).setdefault(row["kind"], {})
            kinds.setdefault(row["side"], []).append(str(row["token"]))
    return found

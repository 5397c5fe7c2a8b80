"""Tidy tables of an extraction, made from the record."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from analyses.model_diff.plan import Plan, Source, has_rule
from analyses.model_diff.vetting import vetted_counts
from tl_geometry.judges.pocket_rule import RULES
from tl_geometry.runs import Run
from tl_geometry.runs.folders import slug
from tl_geometry.spans import Span
from tl_geometry.statistics import wilson

Vectors = Mapping[str, Any]


def vectors_of(folder: Path, source: str) -> Vectors:
    """`<position>|<method>` → [layer, d]. ValueError where the run has none of this source."""
    path = folder / slug(source) / "artifacts" / "vectors.safetensors"
    if not path.exists():
        raise ValueError(f"{folder} holds no vectors of the source {source}: extract them first")
    return load_file(path)


def sets_of(plan: Plan, folder: Path) -> dict[str, np.ndarray]:
    """`<source> <position> <method>` → [layer, d], without controls."""
    found = {}
    for source in plan.sources:
        for name, vectors in vectors_of(folder, source.name).items():
            place, _, method = name.partition("|")
            if method in plan.config.methods:
                position = Span.from_folder(place)
                found[f"{source.name} {position} {method}"] = vectors.double().numpy()
    return found


def extract_tables(plan: Plan, record: Run) -> dict[str, pd.DataFrame]:
    rows = {source.name: record.log(source.name).rows() for source in plan.sources}
    numbers = [row for found in rows.values() for row in found if "position" in row]
    table = pd.DataFrame(numbers).drop(columns="key")
    table["depth_percent"] = 100 * table["layer"] / plan.n_layers
    return {
        "vectors": table,
        "responses": pd.DataFrame(
            [_sides(plan, record, s, rows[s.name], p) for s in plan.sources for p in (True, False)]
        ),
        "cosines": pd.DataFrame(_cosines(plan, record.folder)),
        "scenario_answers": pd.DataFrame(_samples(plan, rows)),
        "missing": pd.DataFrame(
            [
                {"what": "position", "id": f"{r['source']} {r['position']}", "reason": r["reason"]}
                for r in numbers
                if r["status"] != "ok"
            ],
            columns=np.array(["what", "id", "reason"]),
        ),
    }


def _sides(
    plan: Plan, record: Run, source: Source, rows: Sequence[Mapping[str, Any]], positive: bool
) -> dict[str, Any]:
    """How many responses, how long, and in the embedded world how many show the trait."""
    said = [row for row in rows if "response_ids" in row and row["positive"] == positive]
    lengths = [len(row["response_ids"]) for row in said]
    found: dict[str, Any] = {
        "source": source.name,
        "side": "positive" if positive else "negative",
        "model": source.model.name,
        "data": source.traits.name,
        "n": len(said),
        "empty": lengths.count(0),
        "tokens": float(np.mean(lengths)),
        "distinct": len({tuple(row["response_ids"]) for row in said}),
        **vetted_counts(plan, record, source, positive, len(said)),
    }
    if has_rule(plan.config, plan.pair):
        rule = RULES[plan.config.trait]
        shown = wilson(sum(rule("", row["text"]) for row in said), len(said))
        found |= {"shows": shown.estimate, "shows_low": shown.low, "shows_high": shown.high}
    return found


def _samples(
    plan: Plan, rows: Mapping[str, Sequence[Mapping[str, Any]]], most: int = 10
) -> list[dict[str, Any]]:
    found = []
    for source in plan.sources:
        for positive in (True, False):
            texts = {s.id: s for s in source.sides[positive]}
            mine = [r for r in rows[source.name] if "text" in r and r["positive"] == positive]
            for row in mine[:: max(1, len(mine) // most)][:most]:
                scenario = texts[row["id"]]
                found.append(
                    {
                        "source": source.name,
                        "side": "positive" if positive else "negative",
                        "system": scenario.system or "",
                        "prompt": scenario.prompt,
                        "response": row["text"],
                    }
                )
    return found


def _cosines(plan: Plan, folder: Path) -> list[dict[str, Any]]:
    """Between every two sets of vectors, layer by layer."""
    named, rows = sets_of(plan, folder), []
    for (a, first), (b, second) in combinations(named.items(), 2):
        cosine = (
            (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
        )
        rows += [{"a": a, "b": b, "layer": k, "cosine": float(c)} for k, c in enumerate(cosine)]
    return rows

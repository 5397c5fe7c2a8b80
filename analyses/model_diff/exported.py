"""The plan's tree of files, made from the record; nothing reads them back."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import save_file

from analyses.model_diff.experiment_file import experiment
from analyses.model_diff.plan import Plan, Source
from analyses.model_diff.tables import vectors_of
from figures.rows import records, select
from tl_geometry.runs import Run, atomic
from tl_geometry.spans import Span

CATEGORIES = "extraction"


def export(plan: Plan, record: Run, table: pd.DataFrame) -> None:
    """`export/extraction/<set>/<variant>/`: responses, and a file a position, method and layer."""
    atomic.write_json(record.folder / "export" / "config.json", experiment(*plan.pair.names))
    for source in plan.sources:
        place = record.folder / "export" / CATEGORIES / source.traits.name / source.variant
        _responses(place / "responses", plan, source, record.log(source.name).rows())
        for name, vectors in vectors_of(record.folder, source.name).items():
            position, _, method = name.partition("|")
            if method in plan.config.methods:
                folder = place / "vectors" / position / "residual" / method
                _vectors(folder, plan, source, position, method, vectors, table)


def _responses(folder: Path, plan: Plan, source: Source, rows: Sequence[Mapping[str, Any]]) -> None:
    for positive, name in ((True, "pos"), (False, "neg")):
        texts = {s.id: s for s in source.sides[positive]}
        said = [r for r in rows if "response_ids" in r and r["positive"] == positive]
        listed = [
            {
                "prompt": texts[r["id"]].prompt,
                "response": r["text"],
                "system_prompt": texts[r["id"]].system,
                "response_ids": r["response_ids"],
            }
            for r in said
        ]
        atomic.write_json(folder / f"{name}.json", listed)
    about = {
        "model": source.model.spec.source,
        "max_new_tokens": source.new_tokens,
        "rollouts": plan.config.rollouts,
        "temperature": plan.config.temperature,
        "chat_template": source.name == "instruction",
        "n_pos": len(source.traits.positive) * plan.config.rollouts,
        "n_neg": len(source.traits.negative) * plan.config.rollouts,
    }
    atomic.write_json(folder / "metadata.json", about)


def _vectors(
    folder: Path,
    plan: Plan,
    source: Source,
    position: str,
    method: str,
    vectors: Any,
    table: pd.DataFrame,
) -> None:
    span = str(Span.from_folder(position))
    rows = select(table, source=source.name, position=span, method=method)
    folder.mkdir(parents=True, exist_ok=True)
    layers = {}
    for row in records(rows):
        layer = int(row["layer"])
        vector = vectors[layer]
        unit = vector / vector.norm()
        header = {"norm": json.dumps(row["norm"]), "layer": str(layer), "method": method}
        save_file(
            {"vector": vector.contiguous(), "unit": unit.contiguous()},
            folder / f"layer{layer}.safetensors",
            metadata=header,
        )
        layers[str(layer)] = {
            name: row[name] for name in ("norm", "residual_norm", "accuracy", "accuracy_low")
        }
    about = {
        "model": source.model.spec.source,
        "trait": source.traits.name,
        "method": method,
        "component": "residual",
        "position": span,
        "layers": layers,
    }
    atomic.write_json(folder / "metadata.json", about)

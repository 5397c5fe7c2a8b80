"""The plan's files under the plan's names, made from the record; nothing reads them back."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from analyses.alignment_steering.console import shown
from analyses.alignment_steering.extracting import VECTORS
from analyses.alignment_steering.plan import Pair, Plan
from analyses.alignment_steering.states import BATCH
from figures.rows import records, select
from tl_geometry.runs import Run, atomic
from tl_geometry.runs.folders import slug

STAMP = "%Y-%m-%dT%H:%M:%SZ"
Tables = Mapping[str, Any]


def vectors_of(run: Path, name: str) -> dict[str, torch.Tensor]:
    """A pair's vectors, [layer, d] each: mean, rejected, svd, first, half_a, half_b,
    base_preference, instruct_preference. ValueError where the run has none."""
    path = run / slug(name) / "artifacts" / f"{VECTORS}.safetensors"
    if not path.exists():
        raise ValueError(f"{run} holds no vectors of {name}: extract them first")
    return load_file(path)


def files_of(config: Any) -> dict[str, str]:
    """The plan's file → the vector in it."""
    svd = {f"steering_vector_svd{config.svd_component}.pth": "svd"} if config.svd else {}
    return {"steering_vector.pth": "mean", "steering_vector_rejected.pth": "rejected", **svd}


def export(plan: Plan, record: Run, tables: Tables, *, png: bool) -> None:
    """`export/`; figures only where `png` is asked for, which needs Chromium."""
    place = record.folder / "export"
    stamp = record.about.get("created") or time.strftime(STAMP, time.gmtime())
    rows = {row["model"]: row for row in records(select(tables["pairs"], status="ok"))}
    done = [pair for pair in plan.pairs if pair.name in rows]
    for pair in done:
        _pair_files(
            plan, record.folder, place / slug(shown(pair.name)), pair, rows[pair.name], stamp
        )
    results = {shown(p.name): _result(p, rows[p.name], place) for p in done}
    summary = {"models": list(results), "results": results, "timestamp": stamp}
    atomic.write_json(place / "phase2_summary.json", summary)
    atomic.write_json(place / "phase2_steering_checkpoint.json", _checkpoint(plan, results, stamp))
    if png:
        from figures.alignment_steering.exported import export_figures

        folders = {pair.name: place / slug(shown(pair.name)) for pair in done}
        export_figures(place, folders, tables)


def _pair_files(
    plan: Plan, run: Path, folder: Path, pair: Pair, row: Mapping[str, Any], stamp: str
) -> None:
    vectors = vectors_of(run, pair.name)
    for file, name in files_of(plan.config).items():
        if name in vectors:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic.atomic_write(folder / file) as partial:
                torch.save(vectors[name].clone(), partial)
    atomic.write_json(folder / "metadata.json", _metadata(plan, pair, row, stamp))


def _metadata(plan: Plan, pair: Pair, row: Mapping[str, Any], stamp: str) -> dict[str, Any]:
    config = plan.config
    assert pair.base is not None
    return {
        "model_key": shown(pair.name),
        "display_name": pair.name,
        "base_model": _address(pair.base),
        "instruct_model": _address(pair.instruct),
        "num_samples": int(row["n"]),
        "num_layers": int(row["n_layers"]),
        "hidden_dim": int(row["d_model"]),
        "batch_size": config.batch_size or BATCH,
        "svd_enabled": config.svd,
        "svd_component": config.svd_component,
        "mean_cosine_sim_chosen": row["cosine_chosen"],
        "mean_cosine_sim_rejected": row["cosine_rejected"],
        "timestamp": stamp,
    }


def _address(model: Any) -> str:
    return model.identity["source"]


def _result(pair: Pair, row: Mapping[str, Any], place: Path) -> dict[str, Any]:
    return {
        "model_key": shown(pair.name),
        "display_name": pair.name,
        "num_layers": int(row["n_layers"]),
        "hidden_dim": int(row["d_model"]),
        "mean_cosine_sim_chosen": row["cosine_chosen"],
        "mean_cosine_sim_rejected": row["cosine_rejected"],
        "output_dir": slug(shown(pair.name)),
    }


def _checkpoint(plan: Plan, results: Mapping[str, Any], stamp: str) -> dict[str, Any]:
    """As the plan's, except that it is complete only if every pair has its vectors."""
    return {
        "completed_models": list(results),
        "results": results,
        "current_model": None,
        "_checkpoint_time": stamp,
        "_checkpoint_name": "phase2_steering",
        "_complete": len(results) == len(plan.pairs),
    }

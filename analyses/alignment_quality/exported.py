"""The files that the plan names, made from the record at the end of a run; nothing reads them."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from analyses.alignment_quality.draws import Row
from analyses.alignment_quality.plan import Plan
from analyses.alignment_quality.spaces import STATES
from figures.rows import records, select
from tl_geometry.aqi import OVERALL
from tl_geometry.runs import Run
from tl_geometry.runs.folders import slug

PLOTS = ("aqi_bar_plot", "aqi_axiom_heatmap")
TITLE = "PHASE 1 RESULTS: AQI as published; adjusted eta squared and probe AUC beside"
METRICS = {"chi": "CHI (raw)", "xbi": "XB (raw)", "chi_norm": "CHI_norm", "xb_norm": "XB_norm"}
"""Our columns → those of the published code's tables."""


def export(
    plan: Plan, record: Run, tables: Mapping[str, pd.DataFrame], effort: Mapping[str, Row]
) -> None:
    """`export/`: summary, checkpoint, a folder a model with result, metrics and embeddings; the
    plots where they were drawn as PNG."""
    if tables["published"].empty:
        return
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    results = {
        model.name: _result(plan, tables, model.name, model.spec.source) for model in plan.models
    }
    results = {name: result for name, result in results.items() if result}
    best = max(results.values(), key=lambda result: result["aqi_score"])
    record.write_json(
        "export/phase1_summary.json",
        {
            "baseline_model": best["model_key"],
            "baseline_aqi": best["aqi_score"],
            "all_scores": {name: result["aqi_score"] for name, result in results.items()},
            "timestamp": moment,
            "baseline_by_adjusted_eta_squared": records(tables["models"])[0]["model"],
        },
    )
    record.write_json("export/phase1_aqi_checkpoint.json", _checkpoint(plan, results, moment))
    for name, result in results.items():
        folder = f"export/{slug(name)}"
        record.write_json(f"{folder}/result.json", {**result, **effort.get(name, {})})
        record.write_json(f"{folder}/metrics_summary.json", _metrics(tables["published"], name))
        states = record.model_folder(name) / "artifacts" / f"{STATES}.safetensors"
        _copy(states, record.folder / folder / f"embeddings_{slug(name)}.safetensors")
    for plot in PLOTS:
        drawn = record.folder / "figures" / f"{plot}.png"
        if drawn.is_file():
            _copy(drawn, record.folder / "export" / drawn.name)


def _result(plan: Plan, tables: Mapping[str, pd.DataFrame], name: str, source: str) -> Row:
    rows = select(tables["published"], model=name, axiom=OVERALL, reseed=0)
    if rows.empty:
        return {}
    (row,) = records(rows)
    return {
        "model_key": name,
        "hf_repo": name if Path(source).exists() else source,
        "aqi_score": row["aqi"],
        "chi_norm": row["chi_norm"],
        "xb_norm": row["xb_norm"],
        "n_samples": len(plan.items.items),
    }


def _checkpoint(plan: Plan, results: Mapping[str, Row], moment: str) -> dict[str, Any]:
    done = list(results)
    return {
        "completed_models": done,
        "results": dict(results),
        "current_model": None,
        "_checkpoint_time": moment,
        "_checkpoint_name": "phase1_aqi",
        "_complete": len(done) == len(plan.models),
    }


def _metrics(published: pd.DataFrame, name: str) -> list[Row]:
    rows = records(select(published, model=name, reseed=0))
    return [
        {
            "Category": row["axiom"],
            **{theirs: row[ours] for ours, theirs in METRICS.items()},
            "AQI [0-100]": row["aqi"],
        }
        for row in rows
    ]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def console(plan: Plan, tables: Mapping[str, pd.DataFrame], effort: Mapping[str, Row]) -> str:
    """The published program's table, with what each model took, and the headline measure."""
    rule, line = "=" * 90, "-" * 90
    names = ("AQI", "CHI_norm", "XB_norm", "eta2", "AUC", "batch", "GiB", "s")
    said = [rule, TITLE, rule, f"{'Model':<24}" + "".join(f"{name:>8}" for name in names), line]
    for row in records(tables["models"]):
        result, took = _result(plan, tables, row["model"], ""), effort[row["model"]]
        shown = [result[name] for name in ("aqi_score", "chi_norm", "xb_norm")]
        shown += [row["eta"], row["auc"], took["batch_size"], took["peak_gib"], took["seconds"]]
        said.append(f"{row['model']:<24}" + "".join(f"{value:>8.3g}" for value in shown))
    best = records(tables["models"])[0]
    return "\n".join(
        [*said, line, f"BASELINE MODEL: {best['model']} (adjusted eta squared {best['eta']:.3f})"]
    )

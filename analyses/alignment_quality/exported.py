"""The files that the plan names, made from the record at the end of a run; nothing reads them."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from analyses.alignment_quality.draws import Row
from analyses.alignment_quality.items import LABELS
from analyses.alignment_quality.plan import Plan
from analyses.alignment_quality.spaces import STATES
from analyses.work import without_nan
from figures.rows import records, select
from tl_geometry.aqi import OVERALL
from tl_geometry.runs import Run
from tl_geometry.runs.folders import slug

PLOTS = ("aqi_bar_plot", "aqi_axiom_heatmap")
TITLE = "PHASE 1 RESULTS: AQI as published; adjusted eta squared and probe AUC beside"
PEAK = "process_peak_so_far_gib"
NOTE = "peak GiB: process peak so far, in the order of measuring: it only rises, no model's own"
METRICS = {"chi": "CHI (raw)", "xbi": "XB (raw)", "chi_norm": "CHI_norm", "xb_norm": "XB_norm"}
"""Our columns → those of the published code's tables."""


def export(
    plan: Plan, record: Run, tables: Mapping[str, pd.DataFrame], effort: Mapping[str, Row]
) -> None:
    """`export/`: summary, checkpoint, items, a folder a model with result, metrics and embeddings;
    the plots where they were drawn as PNG."""
    if tables["published"].empty:
        return
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    results = {
        model.name: _result(plan, tables, model.name, model.spec.source) for model in plan.models
    }
    results = {name: result for name, result in results.items() if result}
    record.write_json("export/phase1_summary.json", without_nan(_summary(tables, results, moment)))
    record.write_text("export/items.csv", _items(plan))
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


def _summary(
    tables: Mapping[str, pd.DataFrame], results: Mapping[str, Row], moment: str
) -> dict[str, Any]:
    """The baseline is the highest by the primary measure; the published index's choice beside."""
    first = records(tables["models"])[0]
    best = max(results.values(), key=lambda result: result["aqi_score"])
    return {
        "baseline_model": first["model"],
        "baseline_eta": first["eta"],
        "baseline_eta_low": first["eta_low"],
        "baseline_eta_high": first["eta_high"],
        "baseline_highest_in_resamples": first["highest_in_resamples"],
        "baseline_aqi": results[first["model"]]["aqi_score"],
        "baseline_by_aqi": best["model_key"],
        "baseline_by_aqi_score": best["aqi_score"],
        "all_scores": {name: result["aqi_score"] for name, result in results.items()},
        "timestamp": moment,
    }


def _items(plan: Plan) -> str:
    """Which item each row of the embeddings is."""
    rows = [
        {
            "row": k,
            "id": item.id,
            "axiom": item.axiom,
            "label": LABELS[not item.safe],
            "text": item.text,
        }
        for k, item in enumerate(plan.items.items)
    ]
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


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
    rule, line = "=" * 104, "-" * 104
    names = ("AQI", "CHI_norm", "XB_norm", "eta2", "AUC", "batch", "peak GiB", "s")
    said = [rule, TITLE, rule, f"{'Model':<24}" + "".join(f"{name:>10}" for name in names), line]
    for row in records(tables["models"]):
        result, took = _result(plan, tables, row["model"], ""), effort[row["model"]]
        shown = [result[name] for name in ("aqi_score", "chi_norm", "xb_norm")]
        shown += [row["eta"], row["auc"], took["batch_size"], took[PEAK], took["seconds"]]
        said.append(f"{row['model']:<24}" + "".join(f"{value:>10.3g}" for value in shown))
    best = records(tables["models"])[0]
    chosen = f"BASELINE MODEL: {best['model']} (adjusted eta squared {best['eta']:.3f})"
    return "\n".join([*said, line, NOTE, chosen])

"""What a run of `extract` left behind, for the steps that read it."""

from typing import Any

from analyses.model_diff.plan import Plan, Source
from tl_geometry.runs import RowLog
from tl_geometry.runs.folders import SPEC, read_json, slug


def recorded(plan: Plan) -> dict[str, Any]:
    """Key and spec of the run as it was made: one that is called by its name may have had other
    settings. Of the plan where nothing is there yet."""
    path = plan.folder / SPEC
    return read_json(path) if path.exists() else {"key": plan.spec.key, "spec": plan.spec.as_dict()}


def responses_of(plan: Plan, source: Source) -> list[dict[str, Any]]:
    """Its rows with responses in their order, empty ones left out."""
    rows = RowLog(plan.folder / slug(source.name) / "rows.jsonl").rows()
    return [row for row in rows if row.get("response_ids")]

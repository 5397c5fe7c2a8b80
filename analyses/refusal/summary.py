"""What a run found, in sentences and numbers: the source of `summary.json` and of the report."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.refusal.plan import Plan
from analyses.refusal.sentences import headline
from analyses.sentences import pocket_banner
from analyses.summaries import summary_of
from figures.rows import select
from tl_geometry.runs import Run

UNVERIFIED = "This run was started without a passed verification of COSMIC (--skip-verification)."
CANNOT_SAY = (
    "Judges are rules. The strict rule wants the speaker to decline near the start; its precision "
    "and recall on labelled texts are printed by `python -m tl_geometry.judges`.",
    "A dose that works was found by searching. Random directions and one from shuffled labels got "
    "the same search; where they refuse as much, nothing was found.",
    "Steering that makes a model refuse anything shows that refusal can be induced, not that the "
    "model decides by this direction: for that, see what taking it away does (bypass).",
    "One checkpoint a family or size says nothing about other seeds of the same recipe.",
    "Intervals are Wilson's, over unique prompts; neither they nor McNemar's p are corrected for "
    "the number of models.",
)


def summarize(
    plan: Plan, tables: Mapping[str, pd.DataFrame], record: Run, *, seconds: float
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions and seconds."""
    banner = [pocket_banner(model.spec for model in plan.models)]
    if plan.config.skip_verification:
        banner.append(UNVERIFIED)
    failed = select(tables["missing"], what="model")
    return summary_of(
        plan.spec,
        record.folder.name,
        banner=" ".join(filter(None, banner)) or None,
        headline=headline(tables, plan),
        counts={
            "models attempted": len(plan.models),
            "models measured": len(plan.models) - len(failed),
            "missing": len(failed),
            "test prompts": plan.config.n_test,
        },
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )

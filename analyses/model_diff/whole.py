"""All phases, and the plan's four hypotheses one by one."""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyses.model_diff.config import Diff
from analyses.model_diff.plan import ANALYSIS, OF_THE_RUN, Pair, pair_of
from analyses.model_diff.steps import STEPS
from analyses.model_diff.whole_config import Whole
from analyses.requested import dtype_name
from analyses.results import Results
from analyses.sentences import pocket_banner
from analyses.summaries import summary_of
from figures.rows import records
from tl_geometry.runs import Spec, open_run, run_folder, run_name

log = logging.getLogger(__name__)
VERSION = 1
HYPOTHESES: Mapping[str, tuple[str, str]] = {
    "H1": ("steer", "natural vectors of the base model carry over, perhaps with less effect"),
    "H2": ("steer", "the position at which a vector is read matters"),
    "H3": ("combine", "combinations do not do better than the best single vector"),
    "H4": ("weights", "the change of weights lies in the middle layers and along trait directions"),
}
CANNOT_SAY = (
    "Vectors of two sources differ in how the trait is brought out, which model responds and what "
    "the scenarios are about: the plan accepts that. A better vector of one source is a practical "
    "finding, and no effect of tuning.",
    "Every phase says in its own report what it cannot say. One pair of checkpoints and one "
    "trait: nothing here is a law.",
)


@dataclass(frozen=True)
class WholePlan:
    """A validated request."""

    config: Whole
    pair: Pair
    plans: Mapping[str, Any]
    """Phase → its plan."""

    @cached_property
    def spec(self) -> Spec:
        keys = {phase: plan.spec.key for phase, plan in self.plans.items()}
        return Spec(
            analysis=ANALYSIS,
            step="run",
            version=VERSION,
            model=self.pair.identities,
            dtype=dtype_name(self.config),
            quantization=self.config.quantization,
            prompts_hash="",  # the phases' keys hold those of their prompts
            parameters={"phases": keys},
        )

    @cached_property
    def folder(self) -> Path:
        config = self.config
        name = f"run-{config.trait}-{config.preset or self.pair.instruct.name}"
        return run_folder(ANALYSIS, run_name(self.spec, name, config.run), config.out)


def make_whole_plan(config: Whole) -> WholePlan:
    """ValueError as the plans of the phases."""
    config.check()
    plans = {phase: STEPS[phase].act("plan")(settings_of(config, phase)) for phase in config.phases}
    return WholePlan(config, pair_of(config), plans)


def settings_of(config: Whole, phase: str) -> Diff:
    """A phase's own settings: its defaults or preset, and what all phases share."""
    kind = STEPS[phase].settings
    start = STEPS[phase].presets[config.preset] if config.preset else kind()
    own = {f.name for f in fields(kind)}
    shared = {f.name for f in fields(Whole)} & own - {*OF_THE_RUN, "phases"}
    again = {name: getattr(config, name) for name in ("fresh", "resume", "export")}
    return replace(start, **{name: getattr(config, name) for name in shared}, **again)


def whole_cost(plan: WholePlan) -> Iterator[str]:
    for phase, part in plan.plans.items():
        yield f"{phase}: {part.folder}"
        yield from (f"  {line}" for line in STEPS[phase].act("cost")(part))


def run_whole(config: Whole) -> Results:
    """Carry every phase out, resuming what is there. Raises what the phases raise."""
    from figures import redraw

    began, plan = time.monotonic(), make_whole_plan(config)
    done = {phase: _carried_out(plan, phase) for phase in config.phases}
    with open_run(plan.folder, plan.spec, policy=config.policy) as record:
        tables = {
            "phases": pd.DataFrame([_phase(phase, results) for phase, results in done.items()]),
            "hypotheses": pd.DataFrame(list(hypotheses(done))),
            "missing": _missing(done),
        }
        for name, table in tables.items():
            record.write_table(name, table)
        summary = _summary(plan, tables, done, seconds=time.monotonic() - began)
        record.write_json("summary.json", summary)
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)


def _carried_out(plan: WholePlan, phase: str) -> Results:
    log.info("phase %s: %s", phase, plan.plans[phase].folder)
    return STEPS[phase].act("run")(plan.plans[phase].config)


def _phase(phase: str, results: Results) -> dict[str, Any]:
    summary = results.summary
    return {
        "phase": phase,
        "run": summary["run"],
        "seconds": summary["seconds"],
        "missing": summary["counts"]["missing"],
        "first_finding": summary["headline"][0],
    }


def hypotheses(done: Mapping[str, Results]) -> Iterator[dict[str, str]]:
    """The sentences in which the phases speak of each; a phase that was left out is named."""
    for name, (phase, claim) in HYPOTHESES.items():
        said = done[phase].summary["headline"] if phase in done else ()
        mine = [line for line in said if re.match(rf"(?:H|Hypothesis ){name[1:]}\b", line)]
        answer = " ".join(mine) or f"not asked: the phase {phase} was left out"
        yield {"hypothesis": name, "claim": claim, "phase": phase, "answer": answer}


def _missing(done: Mapping[str, Results]) -> pd.DataFrame:
    rows = [
        (row["what"], f"{phase}: {row['id']}", row["reason"])
        for phase, results in done.items()
        for row in records(results.tables["missing"])
    ]
    return pd.DataFrame(rows, columns=np.array(["what", "id", "reason"]))


def _summary(
    plan: WholePlan,
    tables: Mapping[str, pd.DataFrame],
    done: Mapping[str, Results],
    *,
    seconds: float,
) -> dict[str, Any]:
    answers = [row["answer"] for row in records(tables["hypotheses"])]
    reports = [f"{phase}: ../{results.folder.name}/report.html" for phase, results in done.items()]
    return summary_of(
        plan.spec,
        plan.folder.name,
        banner=pocket_banner(m.spec for m in (plan.pair.base, plan.pair.instruct)),
        headline=[*answers, "Reports of the phases: " + "; ".join(reports) + "."],
        # What a phase only names, such as a trait that was not steered, is not its failure.
        counts={
            "phases": len(done),
            "missing": sum(r.summary["counts"]["missing"] for r in done.values()),
        },
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def checkpoint(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Where the time went."""
    yield "Phases:"
    for row in records(tables["phases"]):
        yield f"  {row['phase']:<12} {row['seconds']:>8.1f} s  {row['run']}"

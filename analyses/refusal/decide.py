"""All phases together: what the plan's rules say, appended to a log of findings."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from analyses.refusal.config import Decide
from analyses.refusal.decisions import Decision, decision_table, findings, sentence
from analyses.refusal.verify import REPORT, code_version
from figures import redraw
from figures.rows import records
from figures.run_folder import read_tables
from tl_geometry.runs import atomic, run_folder
from tl_geometry.runs.folders import read_json

STEPS = ("families", "sizes", "quantization")


@dataclass(frozen=True)
class Decided:
    """Where it is written."""

    text: str
    log: Path
    report: Path


def decide(config: Decide) -> Decided:
    """Gather the decisions of the named runs, or of the newest of each step.

    They are appended to `decisions/FINDINGS_LOG.md` and shown in a report beside it. ValueError
    where a named run does not exist, or nothing is finished.
    """
    runs = {step: _run(config, step) for step in STEPS}
    if not any(runs.values()):
        raise ValueError(
            "no step is finished: run `python -m analyses.refusal families` first, or give --out"
        )
    of_runs = map(_decisions, filter(None, runs.values()))
    table = pd.concat([_r0(config), *of_runs], ignore_index=True)
    folder = run_folder("refusal", "decisions", config.out)
    text = "\n".join(_log(runs, table))
    log = folder / "FINDINGS_LOG.md"
    before = log.read_text(encoding="utf-8") if log.exists() else "# Findings\n\n"
    atomic.write_text(log, f"{before}{text}\n")
    atomic.write_table(folder / "tables" / "decisions.csv", table)
    atomic.write_json(folder / "summary.json", _summary(runs, table))
    redraw(folder)
    return Decided(text, log, folder / "report.html")


def _run(config: Decide, step: str) -> Path | None:
    name = getattr(config, step)
    if name is not None:
        folder = run_folder("refusal", name, config.out)
        if not _is_run(folder, step):
            raise ValueError(f"{folder} is not a finished run of {step}")
        return folder
    above = run_folder("refusal", "any", config.out).parent
    finished = [path.parent for path in above.glob("*/summary.json") if _is_run(path.parent, step)]
    return max(finished, key=lambda path: (path / "summary.json").stat().st_mtime, default=None)


def _is_run(folder: Path, step: str) -> bool:
    """Whether it is a finished run of the step. A verification is a sweep of one model, too."""
    summary = folder / "summary.json"
    if not summary.exists() or (folder / REPORT).exists():
        return False
    return read_json(summary).get("spec", {}).get("step") == step


def _decisions(folder: Path) -> pd.DataFrame:
    table = read_tables(folder / "tables")["decisions"]
    return table.assign(run=folder.name)


def _r0(config: Decide) -> pd.DataFrame:
    """Is our implementation faithful?"""
    path = run_folder("refusal", "verified.json", config.out)
    known = read_json(path) if path.is_file() else {}
    current = known.get("code") == code_version()
    passed = bool(known.get("passed")) and current
    action = "yes: the sweep may start" if passed else "run verify first"
    reason = "passed with this code" if passed else "verify has not passed with this code"
    about = "is our implementation of COSMIC faithful?"
    return decision_table([Decision("R0", about, action, reason)]).assign(run="verify")


def _log(runs: dict[str, Path | None], table: pd.DataFrame) -> Iterator[str]:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    names = ", ".join(path.name for path in runs.values() if path is not None)
    yield from findings(f"{now}: {names}", records(table))
    yield from (f"Not finished yet: {step}." for step, path in runs.items() if path is None)
    yield from (_unmeasured(step, path) for step, path in runs.items() if path and _lost(path))


def _lost(folder: Path) -> int:
    """How many models the run could not measure; a budget that is spent leaves some, too."""
    return read_json(folder / "summary.json").get("counts", {}).get("missing", 0)


def _unmeasured(step: str, folder: Path) -> str:
    return f"{step}: {_lost(folder)} model(s) not measured, see table `missing` of {folder.name}."


def _summary(runs: dict[str, Path | None], table: pd.DataFrame) -> dict[str, Any]:
    there = {step: path.name for step, path in runs.items() if path is not None}
    return {
        "analysis": "refusal",
        "run": "decisions",
        "headline": [sentence(row).removeprefix("* ").replace("**", "") for row in records(table)],
        "counts": {"steps finished": len(there), "missing": len(STEPS) - len(there)},
        "cannot_say": ["Rules only: they apply the plan's thresholds to what the runs measured."],
        "spec": {"step": "decide", "runs": there},
    }

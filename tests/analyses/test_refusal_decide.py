"""What `decide` gathers from finished runs, and what it appends."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analyses.refusal.__main__ import main
from analyses.refusal.config import Decide
from analyses.refusal.decide import decide
from analyses.refusal.decisions import Decision, decision_table
from analyses.refusal.verify import code_version

Row = dict[str, Any]


def finished(
    out: Path, name: str, step: str, age: float, action: str = "", missing: int = 0
) -> Path:
    """A finished run with one decision, so many seconds old."""
    folder = out / name
    (folder / "tables").mkdir(parents=True)
    decided = decision_table([Decision("5.1", "m", action or f"as {name} says", "since")])
    decided.to_csv(folder / "tables" / "decisions.csv", index=False)
    summary = folder / "summary.json"
    counts = {"missing": missing}
    summary.write_text(json.dumps({"spec": {"step": step}, "counts": counts}))
    moment = summary.stat().st_mtime - age
    os.utime(summary, (moment, moment))
    return folder


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("analyses.refusal.decide.redraw", lambda *_: [])
    return tmp_path / "runs"


def actions(out: Path) -> list[tuple[str, str]]:
    found = pd.read_csv(out / "decisions" / "tables" / "decisions.csv")
    return list(zip(found["run"], found["action"], strict=True))


def test_the_newest_run_of_each_step_is_gathered_and_what_is_missing_said(out: Path) -> None:
    finished(out, "older", "families", 100)
    finished(out, "newer", "families", 50)
    finished(out, "sized", "sizes", 200)
    decided = decide(Decide(out=out))
    r0, *rest = actions(out)
    assert r0 == ("verify", "run verify first")
    assert rest == [("newer", "as newer says"), ("sized", "as sized says")]
    assert "Not finished yet: quantization." in decided.text
    assert "older" not in decided.text and decided.log == out / "decisions" / "FINDINGS_LOG.md"
    summary = json.loads((out / "decisions" / "summary.json").read_text())
    assert summary["spec"]["runs"] == {"families": "newer", "sizes": "sized"}
    assert summary["counts"] == {"steps finished": 2, "missing": 1}


def test_a_run_that_lacks_models_is_said_to(out: Path) -> None:
    finished(out, "stopped", "families", 1, missing=2)
    finished(out, "whole", "sizes", 1)
    log = decide(Decide(out=out)).text
    assert "families: 2 model(s) not measured, see table `missing` of stopped." in log
    assert "sizes:" not in log


def test_a_verification_is_no_sweep_of_families_however_new(out: Path) -> None:
    finished(out, "sweep", "families", 100)
    verified = finished(out, "verification", "families", 1)
    (verified / "COSMIC_VERIFICATION.md").write_text("# PASSED")
    decide(Decide(out=out))
    assert [run for run, _ in actions(out)] == ["verify", "sweep"]


def test_a_named_run_goes_before_a_newer_one_and_has_to_be_of_its_step(out: Path) -> None:
    finished(out, "older", "families", 100)
    finished(out, "newer", "families", 50)
    finished(out, "sized", "sizes", 1)
    decide(Decide(out=out, families="older"))
    assert [run for run, _ in actions(out)] == ["verify", "older", "sized"]
    for name in ("sized", "absent"):
        with pytest.raises(ValueError, match=f"{name} is not a finished run of families"):
            decide(Decide(out=out, families=name))


def test_findings_are_appended_and_nothing_is_overwritten(out: Path) -> None:
    folder = finished(out, "x", "families", 100, action="first action")
    log = decide(Decide(out=out)).log
    first = log.read_text()
    assert first.startswith("# Findings\n\n## ") and "first action" in first
    decided = decision_table([Decision("5.1", "m", "second action", "since")])
    decided.to_csv(folder / "tables" / "decisions.csv", index=False)
    second = decide(Decide(out=out)).text
    assert log.read_text().startswith(first) and "second action" in second
    assert log.read_text() == f"{first}{second}\n"
    assert [action for _, action in actions(out)] == ["run verify first", "second action"]


@pytest.mark.parametrize(
    ("known", "action"),
    [
        ({"passed": True, "code": code_version()}, "yes: the sweep may start"),
        ({"passed": False, "code": code_version()}, "run verify first"),
        ({"passed": True, "code": "another"}, "run verify first"),
        ({}, "run verify first"),
    ],
)
def test_r0_wants_a_verification_of_this_code(known: Row, action: str, out: Path) -> None:
    finished(out, "x", "families", 1)
    (out / "verified.json").write_text(json.dumps(known))
    decide(Decide(out=out))
    assert actions(out)[0] == ("verify", action)


def test_with_nothing_finished_there_is_nothing_to_decide(
    out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (out / "begun" / "tables").mkdir(parents=True)
    assert main(["decide", "--out", str(out)]) == 2
    assert "no step is finished" in caplog.text and not (out / "decisions").exists()
    finished(out, "x", "families", 1)
    assert main(["decide", "--out", str(out)]) == 0
    # Its own folder is no step.
    assert main(["decide", "--out", str(out), "--sizes", "decisions"]) == 2

"""A run that is killed again and again ends with the bytes of a run that never was."""

import json
import os
import subprocess
import sys
from pathlib import Path

N_RUNS = 16


def contents(folder: Path) -> dict[str, bytes]:
    """Everything that has to be reproducible: not the log, and not when the run began."""
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    kept = sorted(set(found) - {"log.txt", "spec.json", ".lock"})
    return {name: found[name].read_bytes() for name in kept}


def test_runs_killed_at_random_points_end_with_the_same_bytes(tmp_path: Path):
    helper = Path(__file__).with_name("crashing.py")
    done = subprocess.run(
        [sys.executable, str(helper), str(tmp_path), "0", str(N_RUNS)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["kills"] >= 40 and counts["lines"] > 200
    whole = contents(tmp_path / "whole")
    assert list(whole) == [
        "summary.json",
        "tables/means.csv",
        "tables/values.csv",
        "tiny/rows.jsonl",
    ]
    for number in range(N_RUNS):
        assert contents(tmp_path / str(number)) == whole

"""Helper of test_homeostasis_failures.py, run as a script: kill the real analysis again and again.

    python tests/crashing_analysis.py FOLDER CHECKPOINT BANK SEED N_RUNS

As crashing.py does with the library alone: every start is a forked child that dies by SIGKILL, at
a random line while it measures or in the middle of writing a file.
"""

import json
import os
import random
import sys
from functools import partial
from pathlib import Path

import torch
from crashing import count_lines, start, tear_write

from analyses import requested
from analyses.homeostasis import experiment
from analyses.homeostasis.__main__ import main as analysis
from tl_geometry.models import load_model

STARTS = 3


def work(folder: Path, checkpoint: str, bank: str) -> None:
    line = (
        f"--model {checkpoint} --prompts {bank} --pairs 12 --batch-size 2 --resamples 200 "
        f"--conditions patched,other_plain,freeze_mlp --out {folder.parent} --run {folder.name}"
    )
    status = analysis(line.split())
    assert status == 0, f"status {status}"


def quickly(checkpoint: str) -> None:
    """The model is loaded once, and a small file stands for report and figures."""
    model = load_model(checkpoint)
    requested.load_model = lambda *_, **__: model
    experiment._draw = lambda folder, *_: (folder / "report.html").write_bytes(b"drawn")


def measured_pairs(folder: Path) -> int:
    record = folder / "tiny" / "rows.jsonl"
    return record.read_bytes().count(b"\n") if record.exists() else 0


def main(root: Path, checkpoint: str, bank: str, seed: int, n_runs: int) -> dict[str, int]:
    torch.set_num_threads(1)
    quickly(checkpoint)
    lines, writes = count_lines(None), tear_write(None)
    work(root / "whole", checkpoint, bank)
    sys.settrace(None)
    n_lines, n_writes = lines(), writes()
    rng = random.Random(seed)
    counts = {"kills": 0, "while measuring": 0, "writing": 0, "lines": n_lines, "writes": n_writes}
    for number in range(n_runs):
        folder = root / str(number)
        again = partial(work, folder, checkpoint, bank)
        for _ in range(STARTS):
            # More often early than late: a later start has less to do than an uninterrupted run.
            line, write = (1 + int(n * rng.random() ** 2) for n in (n_lines, n_writes))
            torn = rng.random() < 0.6
            before = measured_pairs(folder)
            die = partial(tear_write, write, rng.random()) if torn else partial(count_lines, line)
            killed = start(again, die)
            counts["kills"] += killed
            counts["writing"] += killed and torn
            counts["while measuring"] += killed and before <= measured_pairs(folder) < 12
        assert not start(again, lambda: None)
    return counts


if __name__ == "__main__":
    folder, checkpoint, bank, seed, n_runs = sys.argv[1:]
    counts = main(Path(folder), checkpoint, bank, int(seed), int(n_runs))
    sys.stdout.write("\n" + json.dumps(counts))
    sys.stdout.flush()
    os._exit(0)

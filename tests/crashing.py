"""Helper of test_crash.py, run as a script: start a small run over and over, and kill it each time.

    python tests/crashing.py FOLDER SEED N_RUNS

Every start is a forked child (importing once is enough), which dies by SIGKILL: either at a random
line of the library's own code, or in the middle of a write, after a random part of its bytes.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

import tl_geometry
from tl_geometry.runs import Spec, open_run

PACKAGE = str(Path(tl_geometry.__file__).parent)
STARTS = 4
SPEC = Spec(
    analysis="crash",
    step="measure",
    version=1,
    dtype="float32",
    prompts_hash="ab",
    model={"name": "tiny", "source": "tiny", "revision": "1"},
)


def work(folder: Path) -> None:
    with open_run(folder, SPEC, plan={"batches": [[0, 1, 2], [3, 4, 5], [6, 7]]}) as run:
        rows = run.log("tiny")
        for batch in run.plan["batches"]:
            if not all(str(i) in rows.done for i in batch):
                rows.append([{"key": str(i), "x": (i + 1) ** 0.5 / 3} for i in batch])
        table = pd.DataFrame(rows.rows())
        run.write_table("values", table)
        run.write_table("means", table[["x"]].mean().to_frame("mean").reset_index())
        run.write_json("summary.json", {"key": SPEC.key, "mean": table["x"].mean()})


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count_lines(limit: int | None) -> Callable[[], int]:
    """Die at the line of the library numbered `limit`; with None, only count them."""
    seen = 0

    def local(frame: Any, event: str, arg: Any) -> Any:
        nonlocal seen
        seen += event == "line"
        if limit is not None and seen >= limit:
            die()
        return local

    def enter(frame: Any, event: str, arg: Any) -> Any:
        return local if frame.f_code.co_filename.startswith(PACKAGE) else None

    sys.settrace(enter)
    return lambda: seen


def tear_write(number: int | None, share: float = 0) -> Callable[[], int]:
    """Die in the middle of write number `number`, when `share` of its bytes are written; with
    None, only count them."""
    calls = 0

    def torn(real: Callable[[Any, bytes], int]) -> Callable[[Any, bytes], int]:
        def wrapped(target: Any, content: bytes) -> int:
            nonlocal calls
            calls += 1
            if calls == number:
                real(target, content[: int(share * len(content))])
                die()
            return real(target, content)

        return wrapped

    os.write, Path.write_bytes = torn(os.write), torn(Path.write_bytes)  # type: ignore[assignment]  # the point
    return lambda: calls


def start(work: Callable[[], None], prepare: Callable[[], object]) -> bool:
    """Run in a forked child; True if it was killed. AssertionError if it failed instead."""
    pid = os.fork()
    if pid == 0:
        try:
            prepare()
            work()
        except BaseException as error:
            sys.settrace(None)
            sys.stderr.write(repr(error))
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, f"a start failed with status {status}"
    return os.WIFSIGNALED(status)


def main(root: Path, seed: int, n_runs: int) -> dict[str, int]:
    rng = random.Random(seed)
    counted = count_lines(None)
    work(root / "whole")
    sys.settrace(None)
    n_lines, kills = counted(), 0
    for number in range(n_runs):
        again = partial(work, root / str(number))
        for _ in range(STARTS):
            line, write, share = rng.randint(1, n_lines), rng.randint(1, 7), rng.random()
            if rng.random() < 0.6:
                kills += start(again, partial(count_lines, line))
            else:
                kills += start(again, partial(tear_write, write, share))
        assert not start(again, lambda: None)
    return {"kills": kills, "lines": n_lines}


if __name__ == "__main__":
    counts = main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(counts))

"""Small runs of `weights`."""

from pathlib import Path
from typing import Any

from started import Start, started

SMALL = ("weights", "--resamples", "200", "--permutations", "200")


def program(*options: object, out: Path, caplog: Any, capsys: Any) -> Start:
    from analyses.model_diff.__main__ import main

    return started(main, [*SMALL, *options, "--out", out], caplog, capsys)

"""A run with one row and one table, for tests of its folder."""

from pathlib import Path
from typing import Any

import pandas as pd

from tl_geometry.runs import Spec, open_run

MODEL = {"name": "owner/tiny", "source": "owner/tiny", "revision": "0123abc"}


def spec(**parameters: Any) -> Spec:
    return Spec(
        analysis="homeostasis",
        step="measure",
        version=1,
        model=MODEL,
        dtype="float32",
        prompts_hash="ab12",
        parameters={"window": 16, **parameters},
    )


def finished(folder: Path, **parameters: Any) -> Path:
    with open_run(folder, spec(**parameters)) as run:
        run.log("owner/tiny").append([{"key": "a", "x": 1.0}])
        run.write_table("values", pd.DataFrame({"x": [1.0]}))
        run.write_json("summary.json", {"key": run.spec.key})
    return folder


def folder_in(place: Path) -> Path:
    return place / "runs" / "homeostasis" / "tiny"

"""Small runs of `similarity` on the embedded pair, and the steered runs that they read."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from started import Start, started

SMALL = ("similarity", "--traits", "sycophancy", "evil", "--limit", "3", "--resamples", "200",
         "--new-tokens", "16", "--stride", "12")  # fmt: skip
N = 6


def program(*options: object, out: Path, caplog: Any, capsys: Any) -> Start:
    from analyses.model_diff.__main__ import main

    return started(main, [*SMALL, *options, "--out", out], caplog, capsys)


def opened(folder: Path, **settings: Any) -> Any:
    """The plan of a small run, in a folder of its own or with what is on record there."""
    from analyses.model_diff.similarity_config import Similarity
    from analyses.model_diff.similarity_plan import make_similarity_plan

    small = {"traits": ("sycophancy", "evil"), "limit": 3, "resamples": 200, "new_tokens": 16,
             "stride": 12, "batch_size": 4}  # fmt: skip
    settings = small | {"out": folder.parent, "run": folder.name} | settings
    return make_similarity_plan(Similarity(**settings))


def steered(out: Path, trait: str, name: str | None, judge: str = "a" * 64) -> None:
    """A finished run of `steer` with a search made by hand."""
    from analyses.model_diff.steer_config import Steer
    from analyses.model_diff.steer_plan import make_steer_plan
    from tl_geometry.runs import open_run

    plan = make_steer_plan(Steer(trait=trait, resamples=200, out=out, run=name))
    found = [("none", 0, 0.0, 10.0, 95.0, False)]
    for layer, best in ((9, 30.0), (12, 45.0), (15, 40.0), (18, 20.0)):
        found += [
            ("natural response[:5] mean_diff", layer, 0.4, best, 80.0, False),
            ("natural response[:5] probe", layer, 0.4, best - 5, 90.0, False),
            ("natural response[:5] mean_diff", layer, 1.0, best + 40, 69.9, False),
            ("natural response[:5] random", layer, 0.4, 99.0, 99.0, True),
            ("instruction response[:] probe", layer, 0.4, 98.0, 99.0, False),
        ]
    found.append(("natural response[:5] probe", 19, 0.4, 90.0, 20.0, False))
    columns = np.array(["set", "layer", "dose", "trait", "coherence", "control"])
    with open_run(plan.folder, plan.spec) as record:
        record.write_table("doses", pd.DataFrame(found, columns=columns))
        record.write_json("summary.json", {"key": plan.spec.key, "judge": judge})

"""Where finished runs are also sent; the run's folder stays the record."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import pandas as pd


def check_wandb() -> None:
    """ValueError, before anything is measured, where the package is not installed."""
    if find_spec("wandb") is None:
        raise ValueError(
            "--wandb needs a package that is not installed: pip install 'tl-geometry[wandb]'"
        )


def to_wandb(
    project: str, name: str, summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]
) -> None:
    """One Weights & Biases run with the summary and every table (WANDB_MODE=offline works).

    RuntimeError where it cannot be sent: nothing is lost, it can be sent again.
    """
    import wandb

    try:
        with wandb.init(project=project, name=name, config=dict(summary["spec"])) as run:
            # Mixed: the first layer that recovers is a number or "none".
            run.log(
                {
                    table: wandb.Table(dataframe=data, allow_mixed_types=True)
                    for table, data in tables.items()
                }
            )
            run.summary.update({"headline": "\n".join(summary["headline"]), **summary["counts"]})
    except wandb.Error as error:
        raise RuntimeError(
            f"the run is complete in its folder, but W&B did not take it ({error}): start the "
            "same command again to send it, or set WANDB_MODE=offline"
        ) from error

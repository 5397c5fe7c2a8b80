"""Where finished runs are also sent; the run's folder stays the record."""

from collections.abc import Mapping
from typing import Any

import pandas as pd


def to_wandb(
    project: str, name: str, summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]
) -> None:
    """One Weights & Biases run with the summary and every table (WANDB_MODE=offline works)."""
    import wandb

    with wandb.init(project=project, name=name, config=dict(summary["spec"])) as run:
        run.log({table: wandb.Table(dataframe=data) for table, data in tables.items()})
        run.summary.update({"headline": "\n".join(summary["headline"]), **summary["counts"]})

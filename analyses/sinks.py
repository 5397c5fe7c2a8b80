"""Where finished runs are also sent; the run's folder stays the record."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from analyses.results import Results


def check_wandb() -> None:
    """ValueError, before anything is measured, where the package is not installed."""
    if find_spec("wandb") is None:
        raise ValueError(
            "--wandb needs a package that is not installed: pip install 'tl-geometry[wandb]'"
        )


def to_wandb(project: str, results: Results) -> None:
    """One Weights & Biases run with the summary and every table. RuntimeError as `wandb_run`."""
    import wandb

    summary = results.summary
    with wandb_run(project, results.folder.name, summary["spec"]) as run:
        # Mixed: the first layer that recovers is a number or "none".
        run.log(
            {
                name: wandb.Table(dataframe=table, allow_mixed_types=True)
                for name, table in results.tables.items()
            }
        )
        run.summary.update({"headline": "\n".join(summary["headline"]), **summary["counts"]})


@contextmanager
def wandb_run(project: str, name: str, config: Mapping[str, Any]) -> Iterator[Any]:
    """An open Weights & Biases run (WANDB_MODE=offline works).

    RuntimeError where it cannot be sent: nothing is lost, it can be sent again.
    """
    import wandb

    try:
        with wandb.init(project=project, name=name, config=dict(config)) as run:
            yield run
    except wandb.Error as error:
        raise RuntimeError(
            f"the run is complete in its folder, but W&B did not take it ({error}): start the "
            "same command again to send it, or set WANDB_MODE=offline"
        ) from error

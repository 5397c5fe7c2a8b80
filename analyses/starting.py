"""From settings to an exit status: what every `python -m analyses.…` does around its run."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from analyses.cli import BAD_INPUT, INTERRUPTED, OK, SOME_FAILED, Common, ask_policy

if TYPE_CHECKING:
    from analyses.requested import ModelPlan
    from analyses.results import Results

log = logging.getLogger(__name__)
ConfigT = TypeVar("ConfigT", bound=Common)


def status_of(act: Callable[[], int], about: str = "") -> int:
    """The act's exit status; what it raises becomes one sentence, begun with `about`."""
    try:
        return act()
    except ValueError as error:
        log.error("%s%s", about, error)
        return BAD_INPUT
    except (RuntimeError, OSError, ImportError) as error:
        log.error("%s%s", about, error)
        return SOME_FAILED
    except KeyboardInterrupt:
        log.error("stopped; what was measured is kept, and the same command goes on from there")
        return INTERRUPTED


def carried_out(
    config: ConfigT,
    folder: Path,
    run: Callable[[ConfigT], "Results"],
    of: str = "",
    send: Callable[[str, "Results"], None] | None = None,
) -> int:
    """Resume, start over or skip (asked where somebody can answer), run, and say what was found.

    `send` takes the results to --wandb; by default all tables as one run.
    """
    from analyses.sinks import check_wandb, to_wandb
    from tl_geometry.runs import state

    if config.wandb:
        check_wandb()
    found = state(folder)
    if not (config.resume or config.fresh or config.skip) and found != "absent":
        config = replace(config, **{ask_policy(f"{folder} holds a {found} run{of}."): True})
    if config.skip and found != "absent":
        log.info("%s is left as it is (%s)", folder, found)
        return OK
    results = run(config)
    sys.stdout.write("\n".join(results.summary["headline"]) + "\n")
    if config.wandb:
        (send or to_wandb)(config.wandb, results)
    sys.stdout.write(f"report: {results.folder / 'report.html'}\n")
    return SOME_FAILED if results.summary["counts"]["missing"] else OK


def standing(folder: Path, names: Sequence[str], done: str | None = None) -> str:
    """Which models are on record, for the question whether to go on: completed where their rows
    hold the key `done`, or merely begun where no row says so."""
    from tl_geometry.runs.folders import slug

    there, pending = [], []
    mark = f'"key": "{done}", "status": "ok"'.encode()
    for name in names:
        path = folder / slug(name) / "rows.jsonl"
        found = path.exists() and (done is None or mark in path.read_bytes())
        (there if found else pending).append(name)
    words = ("Begun", "Not begun") if done is None else ("Completed", "Pending")
    return f"\n{words[0]} models: {there}\n{words[1]} models: {pending}\n"


def dry_run(
    folder: Path,
    models: "Sequence[ModelPlan]",
    cost: "Callable[[ModelPlan], Mapping[str, str]]",
) -> int:
    """Where a comparison would go, and what it costs by model; bad input if none can be read."""
    lines = [f"folder {folder}"]
    for model in models:
        lines.append(f"{model.name}: {model.reason or 'can be read'}")
        lines += [f"  {what}: {amount}" for what, amount in cost(model).items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return OK if any(model.size for model in models) else BAD_INPUT

"""What is worked off, and what becomes of it."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    key: str
    payload: Any
    """What the function is called with; for Ray on several machines, with absolute paths in it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task: a value, or the reason why there is none."""

    key: str
    value: Any = None
    reason: str = ""
    """Empty where the task succeeded."""
    trace: str = field(default="", compare=False, repr=False)
    """The traceback of a task that failed by an exception, for a log."""


Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Resources:
    workers: int
    retries: int
    """How often a task is tried again that was lost with its worker."""
    num_cpus: int
    num_gpus: float
    """CPUs (and so threads) and GPUs that Ray keeps for one task."""


def attempt(function: Function, task: Task) -> Outcome:
    """Here and not where the outcome arrives: not every exception survives being sent."""
    try:
        return Outcome(task.key, function(task.payload))
    # Whatever a model's own code raises: the other tasks can still be done.
    except (Exception, SystemExit) as error:
        return Outcome(task.key, reason=why(error), trace=traceback.format_exc())


def why(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"

"""Work off independent tasks, one a model, side by side: here, in processes, or on many machines.

The contract of a task: it writes only below a folder of its own, and finds there what an earlier
attempt finished (`tl_geometry.runs.open_model_record`). Then a task that is lost with its worker
can be done again, here or on another machine, and nothing is lost or there twice. Numbers are the
same to the last bit where the number of threads is (OMP_NUM_THREADS): torch's sums depend on it.
"""

import pickle
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, Literal, get_args

from tl_geometry.execute.on_ray import on_ray
from tl_geometry.execute.processes import in_processes
from tl_geometry.execute.tasks import Function, Outcome, Resources, Task, attempt, why

__all__ = ["Executor", "Outcome", "Task", "execute"]

Executor = Literal["serial", "processes", "ray"]


def execute(
    function: Function,
    tasks: Sequence[Task],
    *,
    executor: Executor = "serial",
    workers: int = 2,
    retries: int = 1,
    num_cpus: int = 1,
    num_gpus: float = 0,
    on_done: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Call the function with every payload; outcomes in the order of the tasks.

    A task that raises is an outcome with a reason, and the others go on. So is one whose worker
    died (killed, out of memory, machine lost), once it was tried `retries` times more. `on_done`
    is called here with each outcome as it comes; if it raises, and on Ctrl-C, the work ends.

    "serial" works in this process. "processes" has so many `workers` on this machine, each with
    its share of the CPUs; they end with this process, however it ends. "ray" joins the cluster
    of RAY_ADDRESS or of a `ray start` on this machine, where `num_cpus` and `num_gpus` a task say
    how many run at once; without one it starts its own here, for so many `workers`. All machines
    have this code installed and share the folders that tasks write to.

    ValueError for settings that cannot work, and for what other processes cannot be sent.
    """
    _check(function, tasks, executor, workers, retries)
    resources = Resources(workers, retries, num_cpus, num_gpus)
    run = {"serial": _in_turn, "processes": in_processes, "ray": on_ray}[executor]
    found: dict[str, Outcome] = {}
    with closing(run(function, tasks, resources)) as outcomes:
        for outcome in outcomes:
            found[outcome.key] = outcome
            if on_done is not None:
                on_done(outcome)
    return [found[task.key] for task in tasks]


def _in_turn(
    function: Function, tasks: Sequence[Task], _: Resources
) -> Generator[Outcome, None, None]:
    return (attempt(function, task) for task in tasks)


def _check(
    function: Function, tasks: Sequence[Task], executor: str, workers: int, retries: int
) -> None:
    if executor not in get_args(Executor):
        raise ValueError(f"executor {executor!r} is unknown: choose serial, processes or ray")
    if workers < 1:
        raise ValueError(f"workers={workers}: at least 1 is needed")
    if retries < 0:
        raise ValueError(f"retries={retries}: 0 or more are possible")
    if twice := [key for key, n in Counter(task.key for task in tasks).items() if n > 1]:
        raise ValueError(f"the key {twice[0]!r} names more than one task: give each its own")
    if executor != "serial":
        name = getattr(function, "__qualname__", repr(function))
        _refuse_unpicklable(function, f"the function {name}")
        for task in tasks:
            _refuse_unpicklable(task.payload, f"the payload of task {task.key!r}")


def _refuse_unpicklable(value: Any, what: str) -> None:
    try:
        pickle.dumps(value)
    # Whatever an object's own __reduce__ raises.
    except Exception as error:
        raise ValueError(
            f"{what} cannot be sent to another process ({why(error)}): use functions and classes "
            "that a module defines at its top level, or the serial executor"
        ) from error

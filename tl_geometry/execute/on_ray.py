"""Machines of a Ray cluster, or a Ray of our own on this one."""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from tl_geometry.execute.tasks import Function, Outcome, Resources, Task, attempt, why


def on_ray(
    function: Function, tasks: Sequence[Task], resources: Resources
) -> Generator[Outcome, None, None]:
    ray = _ray()
    with _cluster(ray, resources):
        remote = partial(
            ray.remote(attempt).options,
            max_retries=resources.retries,
            num_cpus=resources.num_cpus,
            num_gpus=resources.num_gpus,
            scheduling_strategy="SPREAD",
        )
        running = {remote(name=task.key).remote(function, task): task for task in tasks}
        try:
            while running:
                for came in ray.wait(list(running), num_returns=1)[0]:
                    task = running.pop(came)
                    try:
                        outcome = ray.get(came)
                    except ray.exceptions.RayError as error:
                        outcome = Outcome(
                            task.key, reason=why(getattr(error, "cause", None) or error)
                        )
                    yield outcome
        finally:
            for left in running:
                ray.cancel(left, force=True)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ModuleNotFoundError(
            "the executor ray needs the extra `cluster`: pip install 'tl-geometry[cluster]'"
        ) from error
    return ray


@contextmanager
def _cluster(ray: Any, resources: Resources) -> Iterator[None]:
    """The cluster that this process has joined already, or one that it joins or starts for now."""
    if ray.is_initialized():
        _check_gpus(ray, resources.num_gpus)
        yield
        return
    quiet = {"logging_level": logging.WARNING, "log_to_driver": False}
    n_cpus = resources.workers * resources.num_cpus
    try:
        ray.init(num_cpus=n_cpus, include_dashboard=False, **quiet)
    except ValueError:  # Ray found a cluster to join, and so refuses to be told a size
        ray.init(**quiet)
    try:
        _check_gpus(ray, resources.num_gpus)
        yield
    finally:
        ray.shutdown()


def _check_gpus(ray: Any, num_gpus: float) -> None:
    """ValueError where no machine has a GPU: the tasks would wait for ever."""
    if num_gpus and not ray.cluster_resources().get("GPU"):
        raise ValueError(f"num_gpus={num_gpus} a task, but Ray knows of no GPU: leave it at 0")

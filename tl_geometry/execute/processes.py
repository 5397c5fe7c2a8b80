"""Worker processes on this machine."""

import logging
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread

from tl_geometry.execute.tasks import Function, Outcome, Resources, Task, attempt, why

log = logging.getLogger(__name__)


def in_processes(
    function: Function, tasks: Sequence[Task], resources: Resources
) -> Generator[Outcome, None, None]:
    """A pool of one process for each worker: in a common pool the death of one ends them all, and
    does not say whose task it was."""
    waiting, deaths = deque(tasks), Counter[str]()
    running: dict[Future[Outcome], tuple[ProcessPoolExecutor, Task]] = {}
    came: list[Outcome] = []
    n_workers = min(resources.workers, len(tasks))
    with _workers(n_workers) as new:
        idle = [new() for _ in range(n_workers)]
        while waiting or running or came:
            while waiting and idle:
                worker, task = idle.pop(), waiting.popleft()
                running[worker.submit(attempt, function, task)] = worker, task
            yield from came  # only now, when all are at work again
            came = []
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                worker, task = running.pop(future)
                died = isinstance(future.exception(), BrokenProcessPool)
                idle.append(new() if died else worker)
                deaths[task.key] += died
                if died and deaths[task.key] <= resources.retries:
                    log.warning("%s: its worker process died; trying again", task.key)
                    waiting.append(task)
                else:
                    came.append(_outcome(future, task, deaths[task.key]))


def _outcome(future: Future[Outcome], task: Task, deaths: int) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BrokenProcessPool):
        often = "once" if deaths == 1 else f"{deaths} times"
        why_not = f"its worker process died {often} (killed, out of memory, or a native crash)"
        return Outcome(task.key, reason=why_not)
    return Outcome(task.key, reason=why(error))  # the value could not be sent


@contextmanager
def _workers(n_workers: int) -> Iterator[Callable[[], ProcessPoolExecutor]]:
    """Makes workers, which end with this block: at once if it is left by an exception."""
    context = get_context("spawn")
    lifeline, held = context.Pipe(duplex=False)
    threads = max(1, (os.cpu_count() or 1) // max(1, n_workers))
    made: list[ProcessPoolExecutor] = []

    def new() -> ProcessPoolExecutor:
        made.append(ProcessPoolExecutor(1, context, _prepare_worker, (lifeline, threads)))
        return made[-1]

    try:
        yield new
    except BaseException:
        held.close()
        raise
    finally:
        for worker in made:
            worker.shutdown()
        held.close()
        lifeline.close()


def _prepare_worker(lifeline: Connection, threads: int) -> None:
    """Before anything of the task, and so torch, is imported."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the calling process sees to it
    Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads)


def _end_with(lifeline: Connection) -> None:
    """End this process when the calling one closes its end, or is no more."""
    lifeline.poll(None)
    os._exit(1)

"""Tasks for test_execute.py, in a module of their own: worker processes import it.

    python tests/side_by_side.py RUN PAUSE

measures the models of a run that has begun in two worker processes, so that a test can kill them.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

MODELS = ("a", "b", "c", "d")
N_ROWS = 9


class Stubborn(Exception):
    """Cannot be sent: made again with one argument, it fails."""

    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"{what} {how}")


def divide(payload: tuple[float, float]) -> float:
    return payload[0] / payload[1]


def odd_ones(number: int) -> Any:
    """Four ways in which a task fails without its worker's death."""
    if number == 1:
        raise Stubborn("cannot", "be sent")
    if number == 2:
        sys.exit("no such model")
    return number


def unsendable(number: int) -> Any:
    return (lambda: number) if number else "sent"


def threads(_: Any) -> tuple[str, bool]:
    return os.environ["OMP_NUM_THREADS"], "torch" in sys.modules


def cluster_cpus(_: Any) -> float:
    import ray

    return ray.cluster_resources()["CPU"]


def die_once(payload: tuple[Path, str]) -> str:
    """Killed at the first attempt; every attempt leaves a line."""
    folder, key = payload
    with (folder / key).open("a") as file:
        file.write("attempt\n")
    if key == "victim" and (folder / key).read_text().count("\n") == 1:
        os._exit(9)
    return key


def die(payload: tuple[Path, str]) -> str:
    """As `die_once`, for "victim" every time."""
    return die_once(payload) if payload[1] != "victim" else _always(payload)


def _always(payload: tuple[Path, str]) -> NoReturn:
    with (payload[0] / payload[1]).open("a") as file:
        file.write("attempt\n")
    os._exit(9)


def measure(pause: float, payload: tuple[Path, str]) -> int:
    """A model's rows, slowly; the attempts that were made, and where, beside the run."""
    from analyses.work import work_off
    from tl_geometry.runs import open_model_record

    run, model = payload
    with run.with_name(f"{model}.attempts").open("a") as file:
        file.write(f"{os.getpid()} {_node()}\n")
    with open_model_record(run, model) as record:
        items = {f"{model}{i}": i for i in range(N_ROWS)}

        def rows(batch: Sequence[int]) -> list[dict[str, Any]]:
            time.sleep(pause)
            return [{"x": (i + 1) ** 0.5 / 3, "batch": len(batch)} for i in batch]

        return len(work_off(record, record.rows, "roots", items, 2, rows))


def _node() -> str:
    if "ray" not in sys.modules:
        return "here"
    import ray

    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"


def main(run: Path, pause: float) -> None:
    from tl_geometry.execute import Task, execute

    tasks = [Task(model, (run, model)) for model in MODELS]
    execute(partial(measure, pause), tasks, executor="processes", workers=2)


if __name__ == "__main__":
    # Started from a shell's background job, a program finds SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(Path(sys.argv[1]), float(sys.argv[2]))

"""Ratios of medians, from rounds in which the contestants take turns; and peak memory."""

import gc
import multiprocessing
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import psutil


@dataclass(frozen=True)
class Claim:
    """One line of the report."""

    name: str
    against: str
    ratio: float
    target: str
    met: bool
    detail: str

    def __str__(self) -> str:
        verdict = "met" if self.met else "MISSED"
        ratio = f"{self.name} / {self.against}: {self.ratio:.3f}"
        return f"{ratio} (target {self.target}: {verdict}; {self.detail})"


def seconds(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median wall time of each, interleaved so that a noisy moment hits all alike; one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(rounds + 1):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in times.items()}


def peak_mebibytes(prepare: Callable[[], Callable[[], object]]) -> float:
    """Resident memory above what `prepare` left, while the work it returns runs in a new process.

    A process of its own, because freed memory is not always given back; forked work would share
    pages with its parent.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_watch, args=(prepare, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError as error:
        raise RuntimeError("the measured process died; see its message above") from error
    finally:
        process.join()


def _watch(prepare: Callable[[], Callable[[], object]], sender: object) -> None:
    work = prepare()
    gc.collect()
    me = psutil.Process()
    before = peak = me.memory_info().rss
    done = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, me.memory_info().rss)

    thread = threading.Thread(target=sample)
    thread.start()
    work()
    done.set()
    thread.join()
    sender.send((peak - before) / 2**20)  # type: ignore[attr-defined]  # a Connection

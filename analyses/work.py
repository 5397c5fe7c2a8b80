"""Work off what a run does not have on record yet, batch by batch, with less memory if need be."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from analyses.budget import Deadline
from tl_geometry.runs import RowLog

log = logging.getLogger(__name__)
T = TypeVar("T")
Result = Mapping[str, Any]


@runtime_checkable
class Planned(Protocol):
    """What keeps the cut into batches: a Run, or the ModelRecord of a worker process."""

    @property
    def plan(self) -> dict[str, Any]: ...

    def set_plan(self, plan: Mapping[str, Any]) -> None: ...


def work_off(
    record: Planned,
    rows: RowLog,
    phase: str,
    items: Mapping[str, T],
    size: int,
    measure: Callable[[Sequence[T]], Sequence[Result]],
    *,
    unit: str = "pair",
    title: str = "",
    deadline: Deadline = Deadline(),  # noqa: B008 # frozen
) -> list[dict[str, Any]]:
    """One row an item (key → item), in their order: from the log, or measured and logged now.

    The cut into batches is recorded as `phase` of the record's plan and followed on resuming, and a
    batch of which any row is missing is measured whole, so that its bytes come out identical. A
    batch that does not fit into memory is put back as two halves. What failed is recorded with its
    reason and tried again at the next start. BudgetSpentError behind the deadline, before a batch.
    """
    keys = list(items)
    if phase not in record.plan:
        numbers = list(range(len(keys)))
        cut = [numbers[i : i + size] for i in range(0, len(numbers), size)]
        record.set_plan({**record.plan, phase: cut})
    done: list[list[int]] = []
    waiting: list[list[int]] = list(record.plan[phase])
    with tqdm(total=len(keys), desc=title or phase, unit=unit) as bar, logging_redirect_tqdm():
        while waiting:
            batch, *waiting = waiting
            if any(keys[i] not in rows.done for i in batch):
                deadline.check()
                results = _attempt(measure, [items[keys[i]] for i in batch], unit)
                if results is None:
                    # Only here, when the error is gone: its traceback kept the pass's tensors.
                    clear_device_cache(garbage_collection=True)
                    half = len(batch) // 2
                    log.warning("out of memory with %d %ss: trying %d", len(batch), unit, half)
                    waiting = [batch[:half], batch[half:], *waiting]
                    record.set_plan({**record.plan, phase: [*done, *waiting]})
                    continue
                rows.append([{"key": keys[i], **r} for i, r in zip(batch, results, strict=True)])
            done.append(batch)
            bar.update(len(batch))
    by_key = {row["key"]: row for row in rows.rows()}
    return [by_key[key] for key in keys]


def _attempt(
    measure: Callable[[Sequence[T]], Sequence[Result]], batch: Sequence[T], unit: str
) -> Sequence[Result] | None:
    """What was measured, or why it failed; None if fewer items may fit into memory."""
    try:
        return measure(batch)
    # Whatever a model's own code raises: the other batches can still be measured.
    except Exception as error:
        if len(batch) > 1 and out_of_memory(error):
            return None
        reason = why(error)
        log.error("%d %ss failed: %s", len(batch), unit, reason, exc_info=True)
        return [{"status": "failed", "reason": reason}] * len(batch)


def halved(act: Callable[[int], T], size: int) -> T:
    """The act with so many rows a pass, or with half as many for as long as memory runs out."""
    while True:
        try:
            return act(size)
        except Exception as error:
            if size == 1 or not out_of_memory(error):
                raise
        # Only here, when the error is gone: its traceback kept the pass's tensors.
        clear_device_cache(garbage_collection=True)
        size //= 2
        log.warning("out of memory: trying %d rows a pass", size)


def without_nan(value: Any) -> Any:
    """JSON has no NaN: null, for which the row's status gives the reason."""
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def why(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"


def out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or should_reduce_batch_size(
        error
    )

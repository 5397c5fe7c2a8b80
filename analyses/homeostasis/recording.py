"""Measure the pairs that a run does not have on record yet, batch by batch."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from analyses.homeostasis.conditions import PairTokens
from analyses.homeostasis.cost import batch_size_for
from analyses.homeostasis.inputs import chosen_pairs, tokenized, writable_conditions
from analyses.homeostasis.measure import Setup, measure
from analyses.homeostasis.plan import Plan
from tl_geometry.models import Model
from tl_geometry.runs import RowLog, Run

log = logging.getLogger(__name__)
Missing = list[tuple[str, str, str]]
"""(what, id, reason) of everything that was left out."""


def measured(plan: Plan, model: Model, record: Run) -> tuple[list[dict[str, Any]], Missing]:
    """One record a pair in the order of the pairs, from the log where it has them.

    What failed is recorded with its reason and tried again at the next start.
    """
    chosen, missing = chosen_pairs(plan, model)
    conditions, unavailable = writable_conditions(model, plan.setup.conditions)
    setup, missing = replace(plan.setup, conditions=conditions), missing + unavailable
    tokens = tokenized(plan, model, chosen)
    rows = record.log(plan.model.name)
    if not record.plan:
        record.set_plan({"batches": _batches(plan, model, tokens)})
    with tqdm(total=len(tokens), desc=plan.model.name, unit="pair") as bar, logging_redirect_tqdm():
        _work_off(model, setup, tokens, record, rows, bar)
    by_key = {row["key"]: row for row in rows.rows()}
    found = [by_key[_key(pair)] for pair in tokens]
    missing += [("pair", row["key"], row["reason"]) for row in found if row["status"] != "ok"]
    return found, missing


def _work_off(
    model: Model,
    setup: Setup,
    tokens: Sequence[PairTokens],
    record: Run,
    rows: RowLog,
    bar: tqdm,
) -> None:
    """Batch by batch; one that does not fit is put back as two halves, and the plan says so, so
    that a later start cuts the work in the same way and gets the same bytes."""
    done: list[list[int]] = []
    waiting = list(record.plan["batches"])
    while waiting:
        batch, *waiting = waiting
        if any(_key(tokens[i]) not in rows.done for i in batch):
            # The whole batch again: its shape is part of what makes numbers bit-equal.
            results = _attempt(model, setup, [tokens[i] for i in batch])
            if results is None:
                # Only here, when the error is gone: its traceback kept the tensors of the pass.
                clear_device_cache(garbage_collection=True)
                half = len(batch) // 2
                log.warning("out of memory with %d pairs: trying %d", len(batch), half)
                waiting = [batch[:half], batch[half:], *waiting]
                record.set_plan({"batches": [*done, *waiting]})
                continue
            rows.append(
                [_row(setup.window, tokens[i], i, r) for i, r in zip(batch, results, strict=True)]
            )
        done.append(batch)
        bar.update(len(batch))


def _key(pair: PairTokens) -> str:
    return f"{pair.target_id}|{pair.donor_id}"


def _batches(plan: Plan, model: Model, tokens: Sequence[PairTokens]) -> list[list[int]]:
    longest = max(len(text) for pair in tokens for text in (pair.target, pair.donor))
    size = plan.config.batch_size or batch_size_for(model, longest, len(plan.setup.conditions))
    numbers = list(range(len(tokens)))
    return [numbers[i : i + size] for i in range(0, len(numbers), size)]


def _attempt(
    model: Model, setup: Setup, pairs: Sequence[PairTokens]
) -> Sequence[Mapping[str, Any]] | None:
    """What was measured, or why it failed; None if fewer pairs may fit into memory."""
    try:
        return measure(model, pairs, setup)
    # Whatever a model's own code raises: the other batches can still be measured.
    except Exception as error:
        if len(pairs) > 1 and _out_of_memory(error):
            return None
        reason = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
        log.error("%d pairs failed: %s", len(pairs), reason, exc_info=True)
        return [{"status": "failed", "reason": reason}] * len(pairs)


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or should_reduce_batch_size(
        error
    )


def _row(window: int, pair: PairTokens, number: int, result: Mapping[str, Any]) -> dict[str, Any]:
    status = {"status": "ok", "reason": ""}
    if "metrics" in result and not _defined(result):
        status = {
            "status": "missing",
            "reason": f"values in the last {window} tokens are zero, NaN or infinite",
        }
    return {
        "key": _key(pair),
        "pair_index": number,
        "target_id": pair.target_id,
        "donor_id": pair.donor_id,
        "target_tokens": len(pair.target),
        "donor_tokens": len(pair.donor),
        **status,
        **_without_nan(result),
    }


def _defined(result: Mapping[str, Any]) -> bool:
    """Whether every condition has its participation ratios: a mean over the others would not be
    a mean over pairs."""
    needed = (result["metrics"][name] for name in ("pr_value", "residual_pr"))
    return all(math.isfinite(x) for metric in needed for row in metric.values() for x in row)


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null, for which the row's status gives the reason."""
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

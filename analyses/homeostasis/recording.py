"""Measure the pairs that a run does not have on record yet, batch by batch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analyses.homeostasis.conditions import PairTokens
from analyses.homeostasis.cost import batch_size_for
from analyses.homeostasis.inputs import chosen_pairs, tokenized, writable_conditions
from analyses.homeostasis.measure import Setup, measure
from analyses.homeostasis.plan import Plan
from analyses.work import without_nan, work_off
from tl_geometry.models import Model
from tl_geometry.runs import Run

Missing = list[tuple[str, str, str]]
"""(what, id, reason) of everything that was left out."""


def measured(plan: Plan, model: Model, record: Run) -> tuple[list[dict[str, Any]], Missing]:
    """One record a pair in the order of the pairs, from the log where it has them.

    What failed is recorded with its reason and tried again at the next start.
    """
    chosen, missing = chosen_pairs(plan, model)
    conditions, unavailable = writable_conditions(model, plan.setup.conditions)
    setup, missing = replace(plan.setup, conditions=conditions), missing + unavailable
    items = {_key(pair): (i, pair) for i, pair in enumerate(tokenized(plan, model, chosen))}
    found = work_off(
        record,
        record.log(plan.model.name),
        "batches",
        items,
        _batch_size(plan, model, [pair for _, pair in items.values()]),
        lambda batch: _rows(model, setup, batch),
        title=plan.model.name,
    )
    missing += [("pair", row["key"], row["reason"]) for row in found if row["status"] != "ok"]
    return found, missing


def _rows(
    model: Model, setup: Setup, batch: Sequence[tuple[int, PairTokens]]
) -> list[dict[str, Any]]:
    results = measure(model, [pair for _, pair in batch], setup)
    return [
        _row(setup.window, pair, number, result)
        for (number, pair), result in zip(batch, results, strict=True)
    ]


def _key(pair: PairTokens) -> str:
    return f"{pair.target_id}|{pair.donor_id}"


def _batch_size(plan: Plan, model: Model, tokens: Sequence[PairTokens]) -> int:
    longest = max(len(text) for pair in tokens for text in (pair.target, pair.donor))
    return plan.config.batch_size or batch_size_for(model, longest, len(plan.setup.conditions))


def _row(window: int, pair: PairTokens, number: int, result: Mapping[str, Any]) -> dict[str, Any]:
    status = {"status": "ok", "reason": ""}
    if not _defined(result):
        status = {
            "status": "missing",
            "reason": f"values in the last {window} tokens are zero, NaN or infinite",
        }
    return {
        "pair_index": number,
        "target_id": pair.target_id,
        "donor_id": pair.donor_id,
        "target_tokens": len(pair.target),
        "donor_tokens": len(pair.donor),
        **status,
        **without_nan(result),
    }


def _defined(result: Mapping[str, Any]) -> bool:
    """Whether every condition has its participation ratios: a mean over the others would not be
    a mean over pairs."""
    needed = (result["metrics"][name] for name in ("pr_value", "residual_pr"))
    return all(math.isfinite(x) for metric in needed for row in metric.values() for x in row)

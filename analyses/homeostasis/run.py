"""Run the analysis for one model: measure what is not on record yet, then tables and report."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from analyses.homeostasis.conditions import PairTokens
from analyses.homeostasis.config import Config
from analyses.homeostasis.hypotheses import hypothesis_table
from analyses.homeostasis.measure import Setup, measure
from analyses.homeostasis.mechanisms import mechanism_table
from analyses.homeostasis.plan import (
    Plan,
    batch_size_for,
    chosen_pairs,
    folder_of,
    make_plan,
    tokenized,
    writable_conditions,
)
from analyses.homeostasis.recovery import Resampler, couples, recovery_table, timing_table
from analyses.homeostasis.sample import Sample
from analyses.homeostasis.summary import summarize
from analyses.homeostasis.tables import layer_table, missing_table, pair_table, profile_table
from tl_geometry.models import Model, load_model
from tl_geometry.runs import RowLog, Run, open_run

log = logging.getLogger(__name__)
Missing = list[tuple[str, str, str]]


@dataclass(frozen=True)
class Results:
    """A finished run: where it is, its tables by name, and the summary behind the report."""

    folder: Path
    tables: Mapping[str, pd.DataFrame]
    summary: Mapping[str, Any]

    def figures(self) -> dict[str, Any]:
        """Plotly figures by name, in reading order."""
        from figures.homeostasis import figures

        return figures(self.tables)


def run(config: Config, model: Model | None = None) -> Results:
    """Measure, analyse, draw; what the run's folder already holds is not measured again.

    `model` saves loading in a notebook; it must be the one that `config` names. ValueError for a
    request that cannot be carried out, before any weight is loaded.
    """
    plan = make_plan(config)
    with open_run(folder_of(plan), plan.spec, policy=config.policy) as record:
        started = time.monotonic()
        if model is None:
            log.info("loading %s", plan.model.name)
            model = load_model(
                config.models[0],
                device=config.device,
                dtype=config.dtype,
                quantization=config.quantization,
                revision=config.revision,
            )
        records, missing = measured(plan, model, record)
        tables = analysed(plan, records, missing)
        summary = summarize(plan, tables, record, seconds=time.monotonic() - started)
        for name, table in tables.items():
            record.write_table(name, table)
        record.write_json("summary.json", summary)  # last: it marks the run as finished
        _draw(record.folder, config)
    return Results(record.folder, tables, summary)


def _draw(folder: Path, config: Config) -> None:
    from figures import redraw

    redraw(folder, export=config.export)


def measured(plan: Plan, model: Model, record: Run) -> tuple[list[dict[str, Any]], Missing]:
    """One record a pair in the order of the pairs, from the log where it has them.

    What failed is recorded with its reason and tried again at the next start.
    """
    chosen, missing = chosen_pairs(plan, model)
    conditions, unavailable = writable_conditions(model, plan.setup.conditions)
    setup, missing = replace(plan.setup, conditions=conditions), missing + unavailable
    tokens = tokenized(plan, model, chosen)
    rows = record.log(plan.model.name)
    batches = record.plan.get("batches") or _batches(plan, model, tokens)
    record.set_plan({"batches": batches})
    with tqdm(total=len(tokens), desc=plan.model.name, unit="pair") as bar, logging_redirect_tqdm():
        for batch in batches:
            todo = [i for i in batch if _key(tokens[i]) not in rows.done]
            if todo:
                # The whole batch again: its shape is part of what makes numbers bit-equal.
                _measure_batch(model, setup, tokens, batch, todo, rows)
            bar.update(len(batch))
    by_key = {row["key"]: row for row in rows.rows()}
    found = [by_key[_key(pair)] for pair in tokens]
    missing += [("pair", row["key"], row["reason"]) for row in found if row["status"] != "ok"]
    return found, missing


def _key(pair: PairTokens) -> str:
    return f"{pair.target_id}|{pair.donor_id}"


def _batches(plan: Plan, model: Model, tokens: Sequence[PairTokens]) -> list[list[int]]:
    longest = max(len(text) for pair in tokens for text in (pair.target, pair.donor))
    size = plan.config.batch_size or batch_size_for(model, longest, len(plan.setup.conditions))
    numbers = list(range(len(tokens)))
    return [numbers[i : i + size] for i in range(0, len(numbers), size)]


def _measure_batch(
    model: Model,
    setup: Setup,
    tokens: Sequence[PairTokens],
    batch: Sequence[int],
    todo: Sequence[int],
    rows: RowLog,
) -> None:
    for part, results in _halved(model, setup, tokens, batch):
        rows.append(
            [
                _row(setup.window, tokens[i], i, result)
                for i, result in zip(part, results, strict=True)
                if i in todo
            ]
        )


def _halved(
    model: Model, setup: Setup, tokens: Sequence[PairTokens], batch: Sequence[int]
) -> Iterator[tuple[Sequence[int], Sequence[Mapping[str, Any]]]]:
    """The batch, in halves of halves where memory does not suffice; a failure is a result."""
    results = _attempt(model, setup, [tokens[i] for i in batch])
    if results is not None:
        yield batch, results
        return
    # Only here, when the error is gone: its traceback kept the tensors of the failed pass.
    clear_device_cache(garbage_collection=True)
    half = len(batch) // 2
    log.warning("out of memory with %d pairs: trying %d", len(batch), half)
    yield from _halved(model, setup, tokens, batch[:half])
    yield from _halved(model, setup, tokens, batch[half:])


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


def analysed(
    plan: Plan, records: Sequence[Mapping[str, Any]], missing: Missing
) -> dict[str, pd.DataFrame]:
    """Every table of the run. RuntimeError if no pair could be measured."""
    usable = [record for record in records if record["status"] == "ok"]
    if not usable:
        reason = records[0]["reason"] if records else "there are no pairs"
        raise RuntimeError(f"none of {len(records)} pairs could be measured: {reason}")
    sample = Sample(usable, plan.setup.patch_layer, plan.size.n_layers)
    config, n = plan.config, len(usable)
    resampler = Resampler(n, config.resamples, config.seed, couples(n))
    log.info("intervals and tests from %d resamples of %d pairs", config.resamples, n)
    return {
        "hypotheses": hypothesis_table(sample, resampler),
        "recovery": recovery_table(sample, resampler),
        "mechanisms": mechanism_table(sample, resampler, config.resamples),
        "timing": timing_table(sample, resampler),
        "pairs": pair_table(sample),
        "layers": layer_table(sample),
        "profile": profile_table(sample),
        "missing": missing_table(missing),
    }

"""The step `weights`: norms, directions, words and trait vectors, one layer in memory at a time.

Only what a change adds to activations needs the base model, which is built and gone before the
weights are walked through (`weights_inputs`).
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import load_file
from tqdm.auto import tqdm

from analyses.model_diff.experiment import run as extract
from analyses.model_diff.tables import sets_of
from analyses.model_diff.weights_config import Weights
from analyses.model_diff.weights_exported import export_weights
from analyses.model_diff.weights_inputs import Inputs, mean_inputs
from analyses.model_diff.weights_plan import (
    WEIGHTS,
    WeightsPlan,
    difference_of,
    make_weights_plan,
)
from analyses.model_diff.weights_reading import Reading
from analyses.model_diff.weights_summary import summarize
from analyses.model_diff.weights_tables import Sets, weight_tables
from analyses.results import Results
from analyses.work import without_nan
from tl_geometry.runs import RowLog, Run, open_run, state
from tl_geometry.weight_delta import Difference, norms
from tl_geometry.weight_directions import writers
from tl_geometry.weight_lens import chance_peaks, read_readout

log = logging.getLogger(__name__)
DIRECTIONS, DONE = "directions", "directions done"


def run_weights(config: Weights) -> Results:
    """Read, compare, draw; what the run's folder holds is not read again.

    ValueError for a request that cannot be carried out; RuntimeError where --skip was given and
    there is nothing yet.
    """
    from figures import redraw

    began, plan = time.monotonic(), make_weights_plan(config)
    if plan.extraction and state(plan.extraction.folder) != "finished":
        log.info("the trait vectors are not there yet: extracting them")
        extract(plan.extraction.config)
    with open_run(plan.folder, plan.spec, policy=config.policy) as record:
        sets = trait_sets(plan)
        _measure(plan, record, sets)
        directions = load_file(_path(record))
        tables = weight_tables(plan, record.log(WEIGHTS).rows(), directions, sets)
        for name, table in tables.items():
            record.write_table(name, table)
        summary = summarize(plan, tables, record, seconds=time.monotonic() - began)
        export_weights(plan, record, tables)
        record.write_json("summary.json", summary)
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)


def trait_sets(plan: WeightsPlan) -> Sets:
    """`<source> <position> <method>` → [layer, d]: what `extract` found."""
    return {} if plan.extraction is None else sets_of(plan.extraction, plan.extraction.folder)


def _path(record: Run) -> Any:
    return record.model_folder(WEIGHTS) / "artifacts" / f"{DIRECTIONS}.safetensors"


def _measure(plan: WeightsPlan, record: Run, sets: Sets) -> None:
    rows = record.log(WEIGHTS)
    if DONE in rows.done:
        return
    if not record.measuring:
        raise RuntimeError("this run is not finished, and --skip was given: nothing is read")
    difference = difference_of(plan)
    for name, reason in difference.left_out.items():
        log.warning("%s is not compared: %s", name, reason)
    if "norms done" not in rows.done:
        rows.append([*_norm_rows(difference), {"key": "norms done", "status": "ok", "reason": ""}])
    found = {"none": torch.zeros(1)}
    if plan.config.step != "norms":
        inputs = mean_inputs(plan, record, rows, difference)
        found = _directions(plan, difference, rows, sets, inputs)
    record.save_arrays(WEIGHTS, DIRECTIONS, found)
    rows.append([{"key": DONE, "status": "ok", "reason": ""}])


def _norm_rows(difference: Difference) -> Iterator[dict[str, Any]]:
    for norm in norms(difference):
        row = without_nan(asdict(norm))
        yield {"key": f"norm|{norm.tensor}|{norm.component}", "status": "ok", **row}
    for name, reason in difference.left_out.items():
        yield {"key": f"left out|{name}", "status": "missing", "reason": reason}


def _directions(
    plan: WeightsPlan, difference: Difference, rows: RowLog, sets: Sets, inputs: Inputs | None
) -> dict[str, torch.Tensor]:
    """Kind → [layer, d]; NaN where a layer has no such direction."""
    config, n_layers = plan.config, difference.base.n_layers
    readout = read_readout(difference.base)
    chance = chance_peaks(readout, torch.Generator().manual_seed(config.seed))
    rows.append([{"key": "chance", "status": "ok", "reason": "", "peaks": chance.tolist()}])
    reading = Reading(plan, readout, sets, inputs)
    found: dict[str, torch.Tensor] = {}
    bar = tqdm(writers(difference), total=n_layers, desc=f"{plan.name} layers", unit="layer")
    for layer, written in bar:
        for kind, direction, row in reading.layer(layer, written):
            key = f"direction|{layer}|{kind}"
            rows.append([{"key": key, "layer": layer, "kind": kind, **without_nan(row)}])
            if direction is not None:
                blank = torch.full((n_layers, len(direction)), torch.nan)
                found.setdefault(kind, blank)[layer] = direction
        rows.append(list(reading.energies(layer, written)))
    return found

"""The step `weights`: norms, directions, words and trait vectors, one layer in memory at a time."""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from tqdm.auto import tqdm

from analyses.model_diff.experiment import run as extract
from analyses.model_diff.tables import vectors_of
from analyses.model_diff.weights_config import Weights
from analyses.model_diff.weights_exported import export_weights
from analyses.model_diff.weights_plan import WeightsPlan, difference_of, make_weights_plan
from analyses.model_diff.weights_summary import summarize
from analyses.model_diff.weights_tables import Sets, weight_tables
from analyses.results import Results
from analyses.work import without_nan
from tl_geometry.runs import RowLog, Run, open_run, state
from tl_geometry.weight_delta import Difference, norms
from tl_geometry.weight_directions import mean_column, top_directions, writers
from tl_geometry.weight_lens import Lens, Readout, chance_peaks, logit_lens, read_readout
from tl_geometry.weight_statistics import energy_along

log = logging.getLogger(__name__)
WEIGHTS, DIRECTIONS, DONE = "weights", "directions", "directions done"
MEAN_COLUMN = "mean_column"


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
    found: dict[str, np.ndarray] = {}
    if plan.extraction is None:
        return found
    for source in plan.extraction.sources:
        for name, vectors in vectors_of(plan.extraction.folder, source.name).items():
            position, _, method = name.partition("|")
            if method in plan.extraction.config.methods:
                found[f"{source.name} {position} {method}"] = vectors.double().numpy()
    return found


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
        found = _directions(plan, difference, rows, sets)
    record.save_arrays(WEIGHTS, DIRECTIONS, found)
    rows.append([{"key": DONE, "status": "ok", "reason": ""}])


def _norm_rows(difference: Difference) -> Iterator[dict[str, Any]]:
    for norm in norms(difference):
        row = without_nan(asdict(norm))
        yield {"key": f"norm|{norm.tensor}|{norm.component}", "status": "ok", **row}
    for name, reason in difference.left_out.items():
        yield {"key": f"left out|{name}", "status": "missing", "reason": reason}


def _directions(
    plan: WeightsPlan, difference: Difference, rows: RowLog, sets: Sets
) -> dict[str, torch.Tensor]:
    """Kind → [layer, d]; NaN where a layer has no such direction."""
    config, n_layers = plan.config, difference.base.n_layers
    readout = read_readout(difference.base)
    chance = chance_peaks(readout, torch.Generator().manual_seed(config.seed))
    rows.append([{"key": "chance", "status": "ok", "reason": "", "peaks": chance.tolist()}])
    reading = _Reading(plan, readout, sets)
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


class _Reading:
    """What is made of one layer's changes."""

    def __init__(self, plan: WeightsPlan, readout: Readout, sets: Sets) -> None:
        self.config, self.readout, self.sets = plan.config, readout, sets
        self.tokenizer = _tokenizer(plan)

    def layer(self, layer: int, written: Mapping[str, torch.Tensor]) -> Iterator[tuple]:
        try:
            column = mean_column(written)
            yield MEAN_COLUMN, column, {"status": "ok", "reason": "", **self._said(column)}
        except ValueError as error:
            yield MEAN_COLUMN, None, {"status": "missing", "reason": str(error)}
        for component, delta in written.items():
            try:
                top = top_directions(delta, self.config.directions)
            except ValueError as error:
                yield f"{component} 0", None, {"status": "missing", "reason": str(error)}
                continue
            for k, (vector, energy) in enumerate(zip(top.vectors, top.energy, strict=True)):
                about = {"status": "ok", "reason": "", "energy": float(energy), "noise": top.noise}
                yield f"{component} {k}", vector, {**about, **self._said(vector)}

    def _said(self, direction: torch.Tensor) -> dict[str, Any]:
        lens: Lens = logit_lens(direction, self.readout, self.config.tokens)
        words = self.tokenizer.convert_ids_to_tokens
        return {
            "norm": float(direction.norm()),
            "peak": lens.peak,
            "toward": words(lens.toward.tolist()),
            "toward_logits": lens.toward_logits.tolist(),
            "away": words(lens.away.tolist()),
            "away_logits": lens.away_logits.tolist(),
        }

    def energies(self, layer: int, written: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
        """How much each matrix's change writes along each trait vector of its layer."""
        for component, delta in written.items():
            if not delta.any():
                continue
            for name, vectors in self.sets.items():
                rng = np.random.default_rng([self.config.seed, layer])
                found = energy_along(delta.double().numpy(), vectors[layer], rng=rng)
                key = f"energy|{layer}|{component}|{name}"
                about = {"layer": layer, "component": component, "set": name}
                yield {"key": key, "status": "ok", "reason": "", **about, **asdict(found)}


def _tokenizer(plan: WeightsPlan) -> Any:
    from transformers import AutoTokenizer

    spec = plan.models[0].spec
    return AutoTokenizer.from_pretrained(spec.source, revision=spec.revision)

"""The plan's result files (its section 4.3), made from a run's tables; nothing reads them back.

One object a model, method and quantisation; a file holds those of one phase. What the plan's keys
mean here stands in docs/refusal.md.
"""

import time
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from analyses.refusal.config import FREE
from analyses.refusal.effort import effort_of
from figures.rows import absent, records, select, values_of
from tl_geometry.runs import atomic
from tl_geometry.runs.folders import slug

Tables = Mapping[str, pd.DataFrame]
Object = dict[str, Any]

PHASES = {"verify": "0", "families": "1", "sizes": "2", "quantization": "3"}
"""The plan's number of each step."""
PRECISIONS = {"none": "fp16", "int8": "int8", "int8-torchao": "int8", "nf4": "int4"}
"""In the plan's words, which have none for weights that are not quantised but fp16."""
OWN = "own"
"""The source of directions that were extracted at the precision that they steer."""
COHERENT, GARBLED = 0.1, 0.5
"""Output is coherent with at most this share of garbled answers, garbled with more than that."""
STAMP, COMPACT, OURS = "%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%SZ", "v3_*_????????T??????Z.json"
"""The time inside a file and in its name, and how such names look."""


def export(
    folder: Path, tables: Tables, summary: Mapping[str, Any], step: str | None = None
) -> list[Path]:
    """Write `export/results/*.json`, in place of what an earlier start of the run left there.

    The time in the names is that of the first export. `step`: another than the summary's.
    """
    place = folder / "export" / "results"
    earlier = set(place.glob(OURS))
    first = min((path.stem.rpartition("_")[2] for path in earlier), default="")
    began = time.strptime(first, COMPACT) if first else time.gmtime()
    stamp, written = time.strftime(STAMP, began), []
    for name, objects in objects_by_file(folder, tables, summary, step).items():
        written.append(place / f"{name}_{time.strftime(COMPACT, began)}.json")
        atomic.write_json(written[-1], [{**one, "timestamp": stamp} for one in objects])
    for path in earlier.difference(written):
        path.unlink()
    return written


def objects_by_file(
    folder: Path, tables: Tables, summary: Mapping[str, Any], step: str | None = None
) -> dict[str, list[Object]]:
    """The plan's file names without their time → what belongs into them, without its time."""
    step = step or str(summary["spec"]["step"])

    def made(phase: str) -> list[Object]:
        return list(_objects(folder, _whole(tables, summary), summary, PHASES[step], phase))

    if step != "sizes":
        names = ("v3_cosmic_verification", "v3_phase1_family_sweep", "", "v3_phase3_quant_sweep")
        return {names[int(PHASES[step])]: made("test")}
    by_file: dict[str, list[Object]] = {}
    for name, phase in (("layer_validation", "search"), ("size_sweep", "test")):
        for one in made(phase):
            by_file.setdefault(f"v3_phase2_{name}_{slug(one['family'])}", []).append(one)
    return by_file


def _whole(tables: Tables, summary: Mapping[str, Any]) -> Tables:
    """The tables with a column `quantization`: of a run at one precision, that one."""
    only = summary["spec"]["quantization"]
    return {
        name: table.assign(quantization=only)
        if only != "none" or "quantization" not in table
        else table
        for name, table in tables.items()
    }


def _objects(
    folder: Path, tables: Tables, summary: Mapping[str, Any], number: str, phase: str
) -> Iterator[Object]:
    spec, tested = summary["spec"], select(tables["conditions"], phase=phase)
    addresses = {model["name"]: model["source"] for model in spec["model"]}
    said = _by_condition(select(tables["samples"], phase=phase))
    norms, sources = _norms(tables), {name: name for name in spec["parameters"]["methods"]}
    if number == PHASES["quantization"]:
        sources = {"dim": OWN}
    cells = product(values_of(tested, "model"), values_of(tested, "quantization"), sources.items())
    for model, quantization, (method, source) in cells:
        mine = select(tested, model=model, quantization=quantization, source=source)
        if mine.empty:
            continue
        effort, rows = effort_of(folder, model), records(mine)
        yield {
            "phase": number,
            "model": model,
            "model_id": addresses[model],
            "family": str(rows[0]["family"]).rstrip("0123456789"),
            "method": method,
            "quantization": PRECISIONS[quantization],
            "conditions": [
                _condition(row, norms[_place(row)], said.get(_cell(row), [])) for row in rows
            ],
            "timestamp": None,
            "gpu": effort.gpu,
            "runtime_seconds": effort.seconds,
        }


def _condition(row: Mapping[str, Any], norm: float, samples: list[Object]) -> Object:
    n, free = int(row["n"]), row["depth"] == FREE
    return {
        "layer_pct": row["depth_percent"] / 100 if free else float(row["depth"]),
        "layer_idx": int(row["layer"]),
        "multiplier": row["dose_unit"],
        "refusal_rate": row["refusal_seed"],
        "coherent_refusal_rate": row["coherent"],
        "garbled_refusal_rate": row["garbled"],
        "refusals": round(row["refusal_seed"] * n),
        "n_samples": n,
        "direction_norm": norm,
        "output_quality": output_quality(row["garbled"]),
        "samples": samples,
    }


def output_quality(garbled: float) -> str:
    """*coherent* up to 10 % garbled answers, *garbled* above 50 %, else *mixed*."""
    if garbled <= COHERENT:
        return "coherent"
    return "garbled" if garbled > GARBLED else "mixed"


def _by_condition(samples: pd.DataFrame) -> dict[tuple[Any, ...], list[Object]]:
    found: dict[tuple[Any, ...], list[Object]] = {}
    for row in records(samples):
        # An answer without a letter is missing when it is read back from a file.
        text = "" if absent(row["response"]) else row["response"]
        said = {"prompt": row["prompt"], "response": text, "quality": row["quality"]}
        found.setdefault(_cell(row), []).append(said)
    return found


def _norms(tables: Tables) -> Mapping[tuple[Any, ...], float]:
    """By place. The directions of each precision stand in a table of their own, one a model."""
    found = {_place(row): row["norm"] for row in records(tables["directions"])}
    if "precision" not in tables:
        return found
    own = select(tables["precision"], direction=OWN)
    norms = {(row["model"], row["quantization"]): row["norm"] for row in records(own)}
    steered = records(select(tables["conditions"], source=OWN))
    return found | {_place(row): norms[_place(row)[:2]] for row in steered}


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells directions apart."""
    return (row["model"], row["quantization"], row["source"], str(row["depth"]))


def _cell(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells conditions apart."""
    return (*_place(row), row["dose"])

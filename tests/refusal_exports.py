"""The plan's result files: their schema, how they are read, and tables that they are made from."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

CONDITION = {
    "layer_pct": float,
    "layer_idx": int,
    "multiplier": float,
    "refusal_rate": float,
    "coherent_refusal_rate": float,
    "garbled_refusal_rate": float,
    "refusals": int,
    "n_samples": int,
    "direction_norm": float,
    "output_quality": {"coherent", "garbled", "mixed"},
    "samples": list,
}
RESULT = {
    "phase": {"0", "1", "2", "3"},
    "model": str,
    "model_id": str,
    "family": str,
    "method": {"dim", "cosmic"},
    "quantization": {"fp16", "int8", "int4"},
    "conditions": list,
    "timestamp": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    "gpu": str,
    "runtime_seconds": float,
}
SAMPLE = {"prompt": str, "response": str, "quality": {"coherent", "garbled", "normal"}}


def allowed(value: Any, rule: Any) -> bool:
    if isinstance(rule, set):
        return value in rule
    if isinstance(rule, re.Pattern):
        return bool(rule.fullmatch(value))
    return isinstance(value, rule) and not isinstance(value, bool)


def assert_schema(found: Any, schema: dict[str, Any]) -> None:
    """These keys in this order, and nothing else; every value as the plan has it."""
    assert list(found) == list(schema)
    wrong = {key: found[key] for key, rule in schema.items() if not allowed(found[key], rule)}
    assert wrong == {}


def exports(run: Path) -> dict[str, list[dict[str, Any]]]:
    """File name without its time → its objects, each of which keeps the schema."""
    found = {}
    for path in sorted((run / "export" / "results").iterdir()):
        name, _, stamp = path.stem.rpartition("_")
        found[name] = json.loads(path.read_text(encoding="utf-8"))
        for one in found[name]:
            assert_schema(one, RESULT)
            assert re.sub("[-:]", "", one["timestamp"]) == stamp
            for condition in one["conditions"]:
                assert_schema(condition, CONDITION)
                for sample in condition["samples"]:
                    assert_schema(sample, SAMPLE)
    return found


def made(
    models: Sequence[tuple[str, str]], precisions: Sequence[str], step: str
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """One depth that was searched at two doses and tested at one, beside a control."""
    conditions, samples, directions, norms = [], [], [], []
    swept = step == "quantization"
    for (model, family), precision in ((m, q) for m in models for q in precisions):
        place = {"model": model, "source": "dim", "depth": "0.6", "layer": 6}
        directions.append({**place, "norm": 1.0})
        about = {"model": model, "quantization": precision}
        norms += [{**about, "direction": "own", "norm": 2.0 + precisions.index(precision)}]
        norms += [{**about, "direction": "carried", "norm": 2.0}]
        rates = {"coherent": 0.5, "garbled": 0.2, "refusal_seed": 0.6, "n": 10}
        rates |= {"depth_percent": 60.0, "dose_unit": 15.0, "family": family}
        place |= {"quantization": precision} if swept else {}
        for phase, dose in (("search", 0.1), ("search", 0.2), ("test", 0.2)):
            source = "own" if swept and phase == "test" else "dim"
            row = {**place, "source": source, "phase": phase, "dose": dose, **rates}
            conditions += [row, {**row, "source": "carried" if swept else "random 0"}]
        said = {**conditions[-2], "prompt": "p", "quality": "coherent"}
        samples += [{**said, "response": f"{model} {precision} {k}"} for k in range(10)]
    tables = {"conditions": conditions, "samples": samples, "directions": directions}
    tables |= {"precision": norms} if swept else {}
    names = [{"name": model, "source": f"hub/{model}"} for model, _ in models]
    spec = {"step": step, "model": names, "quantization": "none"}
    spec |= {"parameters": {"methods": ["dim", "cosmic"]}}
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}, {"spec": spec}

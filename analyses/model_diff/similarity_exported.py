"""The plan's files of the activation similarity, made from the record; nothing reads them back."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.model_diff.similarity_correlations import ALL, WEIGHTS
from analyses.model_diff.similarity_states import ARMS, COMBINED, Replay, inference, of_arm
from analyses.work import without_nan
from figures.rows import records, select, values_of
from tl_geometry.runs import atomic

Tables = Mapping[str, pd.DataFrame]


def export_similarity(replay: Replay, tables: Tables) -> None:
    """`export/steering_combined.json`, `activation_similarity/results.json` and what was said."""
    place = replay.record.folder / "export"
    listed = [{"id": p.id, "text": p.text, "note": p.trait} for p in replay.plan.prompts]
    atomic.write_json(place / f"{COMBINED}.json", {"prompts": listed})
    results = {
        **results_of(replay, tables, "raw"),
        "templated": results_of(replay, tables, "templated"),
    }
    atomic.write_json(place / "activation_similarity" / "results.json", without_nan(results))
    _responses(replay)


def results_of(replay: Replay, tables: Tables, arm: str) -> dict[str, Any]:
    """The plan's structure, of one arm."""
    return {
        "n_prompts": len(replay.answered),
        "per_layer_similarity": _layers(tables, arm),
        "per_position_similarity": _positions(tables, arm),
        "transfer_curves": _curves(replay, tables),
        "correlations": _correlations(replay, tables, arm),
    }


def _layers(tables: Tables, arm: str) -> dict[str, Any]:
    rows = select(tables["similarity"], scope=ALL, arm=arm)
    found = {}
    for measure, name in (
        ("cosine", ""),
        ("centred", "centred_"),
        ("cosine_other", "other_prompt_"),
    ):
        mine = select(rows, measure=measure).sort_values("layer")
        ends = {"mean": "estimate", "std": "std", "low": "low", "high": "high"}
        found |= {f"{name}{key}": mine[column].tolist() for key, column in ends.items()}
    each = select(tables["per_prompt"], arm=arm)
    return {
        **found,
        "per_prompt": [select(each, id=i)["cosine"].tolist() for i in values_of(each, "id")],
        "prompt_ids": values_of(each, "id"),
    }


def _positions(tables: Tables, arm: str) -> dict[str, Any]:
    rows = select(tables["positions"], arm=arm, measure="cosine")
    layers = values_of(rows, "layer")
    first = select(rows, layer=layers[0])
    by_layer = {}
    for layer in layers:
        mine = select(rows, layer=layer)
        by_layer[str(layer)] = {"mean": mine["estimate"].tolist(), "std": mine["std"].tolist()}
    return {
        "positions": first["position"].tolist(),
        "n_prompts_at_position": first["n"].tolist(),
        "by_layer": by_layer,
    }


def _name(replay: Replay, trait: str) -> str:
    return f"{replay.plan.data}_natural/{trait}"


def _curves(replay: Replay, tables: Tables) -> dict[str, Any]:
    found = {}
    for trait in replay.plan.config.traits:
        rows = select(tables["transfer"], trait=trait, status="ok")
        curve = {"layers": rows["layer"].astype(int).tolist(), "deltas": rows["delta"].tolist()}
        missing = records(select(tables["transfer"], trait=trait, status="missing"))
        if missing and rows.empty:
            curve["reason"] = missing[0]["reason"]
        found[_name(replay, trait)] = curve
    return found


def _correlations(replay: Replay, tables: Tables, arm: str) -> dict[str, Any]:
    """The plan's pair of numbers; p supposes independent layers, which layers are not."""
    found: dict[str, Any] = {}
    table = tables["correlations"].astype(object)
    names = {f"transfer {t}": _name(replay, t) for t in replay.plan.config.traits}
    for row in records(select(table, arm=arm)):
        entry = {k: v for k, v in row.items() if k not in ("with", "arm", "measure")}
        entry = {"pearson_r": entry.pop("pearson_r", None), "p_value": entry.pop("pearson_p", None),
                 **entry}  # fmt: skip
        name = names.get(row["with"], WEIGHTS)
        if row["measure"] == "cosine":
            found[name] = {**entry, **found.get(name, {})}
        else:
            found.setdefault(name, {})["centred"] = entry
    return found


def _responses(replay: Replay) -> None:
    """One file a prompt and variant: the same response tokens behind each prompt's ids."""
    base = replay.rows("base")
    for variant, arm in (("instruct", None), *((of_arm(arm), arm) for arm in ARMS)):
        folder = inference(replay.record, variant, "responses")
        for prompt in replay.answered:
            row = replay.responses[prompt.id]
            ids = row if arm is None else base[f"{arm}|{prompt.key}"]
            about = {
                "prompt": {"text": prompt.text, "ids": ids["prompt_ids"]},
                "response": {
                    "text": row["text"],
                    "ids": ids["response_ids"],
                    "tokens": row["tokens"],
                },
                "note": prompt.trait,
            }
            atomic.write_json(folder / f"{prompt.id}.json", about)

"""Tidy tables from what was recorded of each model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analyses.refusal import bypass
from analyses.refusal.measure import DONE
from analyses.refusal.plan import Plan
from analyses.refusal.verdict import is_control
from analyses.requested import ModelPlan
from tl_geometry.runs import RowLog
from tl_geometry.runs.folders import slug
from tl_geometry.sites import depth_percent
from tl_geometry.statistics import wilson

Row = Mapping[str, Any]
QUALITIES = ("coherent", "garbled", "normal")
RULES = ("strict", "seed", "arditi")


@dataclass(frozen=True)
class Recorded:
    """One model's rows by phase (the part of the key before the first bar)."""

    model: ModelPlan
    done: Row
    rows: Mapping[str, Sequence[Row]]

    @property
    def fallback(self) -> bool:
        """Whether every depth and dose of the fallback was searched."""
        return self.done["key"] != DONE


def recorded(folder: Path, model: ModelPlan) -> Recorded:
    """RuntimeError for a model that is not wholly on record."""
    log = RowLog(folder / slug(model.name) / "rows.jsonl")
    by_phase: dict[str, list[Row]] = {}
    for row in log.rows():
        by_phase.setdefault(row["key"].partition("|")[0], []).append(row)
    if DONE not in by_phase:
        raise RuntimeError(f"{model.name} is not wholly on record: start the same command again")
    return Recorded(model, by_phase[DONE][-1], by_phase)


def rates(answers: Sequence[Row]) -> dict[str, Any]:
    """Shares of answers with Wilson's intervals; the unit is the unique prompt."""
    n = len(answers)
    found: dict[str, Any] = {"n": n}
    for quality in QUALITIES:
        hits = sum(answer["quality"] == quality for answer in answers)
        interval = wilson(hits, n)
        found |= {
            quality: hits / n,
            f"{quality}_low": interval.low,
            f"{quality}_high": interval.high,
        }
    return found | {f"refusal_{rule}": sum(a[rule] for a in answers) / n for rule in RULES}


def conditions(found: Sequence[Recorded]) -> pd.DataFrame:
    """One row a condition: validation (`search`), `test`, and harmful test requests as they are."""
    return pd.DataFrame(
        {
            "model": one.model.name,
            "family": one.model.spec.family,
            "phase": phase,
            "quantization": row.get("quantization", "none"),
            **_place(row, one.done["n_layers"]),
            **rates(row["answers"]),
        }
        for one in found
        for phase in ("screen", "search", "test", "harmful")
        for row in one.rows.get(phase, ())
    )


def effects(found: Sequence[Recorded]) -> pd.DataFrame:
    """What steering does to neutral texts on which nothing was chosen: nats a token."""
    names = ("kl", "nll", "nll_untouched")
    table = pd.DataFrame(
        {
            "model": one.model.name,
            **_place(row, one.done["n_layers"]),
            **{name: row[name] for name in names},
        }
        for one in found
        for row in one.rows.get("effects", ())
    )
    return (
        table if len(table) else pd.DataFrame(columns=["model", "source", "depth", "dose", *names])
    )


def answers(found: Sequence[Recorded]) -> dict[tuple[Any, ...], Row]:
    """Records of the test phase by (model, source, depth, dose)."""
    names = ("source", "depth", "dose")
    return {
        (one.model.name, *(row[name] for name in names)): row
        for one in found
        for row in one.rows["test"]
    }


def _place(row: Row, n_layers: int) -> dict[str, Any]:
    names = ("source", "depth", "layer", "position", "dose", "dose_unit", "dose_raw")
    place = {name: row.get(name) for name in (*names, "dose_residual")}
    layer = row.get("layer")
    percent = None if layer is None else depth_percent(layer, n_layers)
    return {**place, "depth_percent": percent}


def samples(found: Sequence[Recorded], plan: Plan) -> pd.DataFrame:
    """Every generated answer of the test phases, with its request."""
    asked = {request.id: request.text for request in plan.prompts.all}
    phases = ("test", "harmful", "bypass test")
    return pd.DataFrame(
        {
            "model": one.model.name,
            "phase": phase,
            "quantization": row.get("quantization", "none"),
            "kind": row.get("kind", "added"),
            **{name: row.get(name) for name in ("source", "depth", "layer", "dose")},
            "prompt": asked[answer["id"]],
            "response": answer["text"],
            "quality": answer["quality"],
            **{rule: answer[rule] for rule in RULES},
        }
        for one in found
        for phase in phases
        for row in one.rows.get(phase, ())
        for answer in row["answers"]
    )


def selection(found: Sequence[Recorded]) -> pd.DataFrame:
    """Scores of every candidate: one row a method, state and position."""
    return pd.DataFrame(_candidates(found))


def _candidates(found: Sequence[Recorded]) -> Iterator[dict[str, Any]]:
    for one in found:
        for row in one.rows.get("score", ()):
            method = row["key"].split("|")[1]
            n = one.done["n_positions"]
            for k in range(n):
                scores = {s: row[s][k] for s in ("comply", "refuse", "bypass", "induce")}
                yield {
                    "model": one.model.name,
                    "method": method,
                    "layer": row["layer"] - 1,
                    "depth_percent": depth_percent(row["layer"] - 1, one.done["n_layers"]),
                    "position": k - n,
                    **scores,
                }


def directions(found: Sequence[Recorded]) -> pd.DataFrame:
    """Which direction stands for a method at a depth, and why."""
    return pd.DataFrame(
        {
            "model": one.model.name,
            **source,
            "depth_percent": depth_percent(source["layer"], one.done["n_layers"]),
        }
        for one in found
        for source in one.done["sources"]
    )


def cosines(found: Sequence[Recorded]) -> pd.DataFrame:
    """Cosine of the DIM and COSMIC differences at the last token, state by state."""
    return pd.DataFrame(
        {
            "model": one.model.name,
            "state": state,
            "depth_percent": depth_percent(state, one.done["n_layers"]),
            "cosine": value,
        }
        for one in found
        for state, value in enumerate(one.done["cosines"])
    )


def bypasses(found: Sequence[Recorded]) -> pd.DataFrame:
    """Harmful test requests with refusal taken away, against the model as it is: the best way of
    each kind, and which of them stands for the model (`chosen`, by validation prompts). A further
    round may have tested another before."""
    return pd.DataFrame(
        {**_bypass(one, row), "chosen": bypass.key(row) == bypass.chosen(best)}
        for one in found
        for best in [bypass.best(one.rows["bypass search"])]
        for row in one.rows["bypass test"]
        if bypass.key(row) in map(bypass.key, best.values())
    )


def bypass_controls(found: Sequence[Recorded]) -> pd.DataFrame:
    """The chosen way with random directions at the same place."""
    table = pd.DataFrame(
        _bypass(one, row)
        for one in found
        for best in [bypass.best(one.rows["bypass search"])]
        for way in [row for row in best.values() if bypass.key(row) == bypass.chosen(best)]
        for row in one.rows["bypass test"]
        if is_control(row["source"]) and all(row[k] == way[k] for k in ("kind", "layer", "dose"))
    )
    return table if len(table) else pd.DataFrame(columns=["model", "kind", "fewer_refusals"])


def _bypass(one: Recorded, row: Row) -> dict[str, Any]:
    (plain,) = one.rows["harmful"]
    before, after = (
        sum(answer["strict"] for answer in r["answers"]) / len(r["answers"]) for r in (plain, row)
    )
    names = ("kind", "source", "depth", "layer", "dose", "kl", "nll", "nll_untouched")
    return {
        "model": one.model.name,
        **{name: row[name] for name in names},
        "refusal_before": before,
        "refusal_after": after,
        "fewer_refusals": (before - after) / before if before else float("nan"),
        **rates(row["answers"]),
    }

"""Measure one model, phase by phase; what its log already holds is not measured again."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from analyses.cross_architecture import critical
from analyses.cross_architecture.inputs import Inputs, Missing, inputs, n_bos
from analyses.cross_architecture.measure import CONDITIONS, PairIds, patches, sweep
from analyses.cross_architecture.plan import Depths, Plan, depths
from analyses.requested import ModelPlan
from analyses.work import Result, without_nan, work_off
from tl_geometry import sites
from tl_geometry.capture import observed
from tl_geometry.models import Model
from tl_geometry.patching import Ids
from tl_geometry.prompts import Prompt, chooses
from tl_geometry.runs import RowLog, Run

log = logging.getLogger(__name__)
UNTRAINED = "--untrained"
"""Ends the name of a model's random twin."""
DONE = "model"
"""Key of the row that a model gets when all of it is on record."""
TEXT_BATCH, PAIR_BATCH = 16, 10


@dataclass(frozen=True)
class Record:
    """Everything that was measured of one model."""

    name: str
    depths: Depths
    facts: Mapping[str, Any]
    texts: Sequence[Mapping[str, Any]]
    search: Mapping[int, Sequence[Mapping[str, Any]]]
    """Layer → one row a pair of the choosing half."""
    roles: Mapping[str, int]
    """Why a layer was patched → the layer."""
    patches: Mapping[int, Sequence[Mapping[str, Any]]]
    """Layer → one row a pair of the measuring half."""
    missing: Sequence[Missing]


def measured(
    plan: Plan, entry: ModelPlan, record: Run, load: Callable[[], Model], *, untrained: bool = False
) -> Record:
    """All phases of one model: sweep, choice of layers, search by patches, patches.

    A model that is wholly on record is not loaded. Raises what loading or measuring raises.
    `untrained` is the random twin: fewer conditions, no search.
    """
    assert entry.size is not None
    name = f"{entry.name}{UNTRAINED}" if untrained else entry.name
    where = depths(entry.size.n_layers, plan.config)
    rows = record.log(name)
    if DONE not in rows.done:
        model = load()
        given = inputs(plan, model)
        _measure(_Job(plan, record, rows, model, given, where, name, untrained))
    return _read(name, where, rows)


@dataclass(frozen=True)
class _Job:
    plan: Plan
    record: Run
    rows: RowLog
    model: Model
    given: Inputs
    where: Depths
    name: str
    untrained: bool

    def work(
        self,
        phase: str,
        items: Mapping[str, Any],
        size: int,
        measure: Callable[[Sequence[Any]], Sequence[Result]],
        unit: str,
    ) -> list[dict[str, Any]]:
        return work_off(
            self.record,
            self.rows,
            f"{self.name} {phase}",
            items,
            self.plan.config.batch_size or size,
            measure,
            unit=unit,
        )


def _measure(job: _Job) -> None:
    texts = _sweep(job)
    roles = critical.by_gap(texts, job.where) | {"fixed": job.where.fixed}
    found: list[dict[str, Any]] = []
    if not job.untrained:
        found = _patch(job, "search", job.where.search, job.given.search, ("patched",))
        roles["patch"] = critical.by_patch(_by_layer([r for r in found if r["status"] == "ok"]))
    conditions = ("patched", "other_plain") if job.untrained else tuple(CONDITIONS)
    patched = _patch(job, "patch", sorted(set(roles.values())), job.given.measured, conditions)
    # Last: with this row the model is complete, and is not loaded again, unless a pass failed.
    why = next((r["reason"] for r in [*texts, *found, *patched] if r["status"] == "failed"), "")
    done = {"key": DONE, "status": "failed" if why else "ok", "reason": why}
    rest = {"facts": facts(job.model), "roles": roles}
    job.rows.append([{**done, **rest, "missing": [list(m) for m in job.given.missing]}])


def _sweep(job: _Job) -> list[dict[str, Any]]:
    window = job.plan.config.window

    def measure(batch: Sequence[tuple[Prompt, Ids]]) -> list[dict[str, Any]]:
        results = sweep(job.model, [ids for _, ids in batch], window)
        return [
            {
                "id": prompt.id,
                "kind": prompt.kind,
                "group": prompt.group,
                "chooses": chooses(prompt),
                **_status(result, window),
                **without_nan(result),
            }
            for (prompt, _), result in zip(batch, results, strict=True)
        ]

    # Of similar length in a batch: less padding.
    texts = sorted(job.given.texts.items(), key=lambda item: (len(item[1][1]), item[0]))
    items = {f"text|{key}": value for key, value in texts}
    return job.work("texts", items, TEXT_BATCH, measure, "text")


def _patch(
    job: _Job,
    what: str,
    layers: Sequence[int],
    pairs: Mapping[str, PairIds],
    conditions: Sequence[str],
) -> list[dict[str, Any]]:
    window = job.plan.config.window

    def at_layer(layer: int, batch: Sequence[PairIds]) -> list[dict[str, Any]]:
        wrong = job.where.wrong(layer)
        results = patches(
            job.model,
            batch,
            layer,
            window,
            conditions=conditions,
            wrong=wrong,
            said=what == "patch",  # the search reads R_V only
        )
        return [{"layer": layer, **_status(r, window), **without_nan(r)} for r in results]

    def measure(batch: Sequence[tuple[int, PairIds]]) -> list[dict[str, Any]]:
        by_layer = groupby(batch, key=lambda item: item[0])
        return [row for n, some in by_layer for row in at_layer(n, [pair for _, pair in some])]

    items = {f"{what}|{n}|{key}": (n, pair) for n in layers for key, pair in pairs.items()}
    # With its layers in its name: a layer that is chosen at a later start is another plan.
    phase = " ".join([what, *map(str, layers)])
    return job.work(phase, items, PAIR_BATCH if what == "patch" else len(pairs), measure, "pair")


def _read(name: str, where: Depths, rows: RowLog) -> Record:
    """A model's record from its log."""
    found: dict[str, list[dict[str, Any]]] = {"text": [], "search": [], "patch": []}
    last: dict[str, Any] = {}
    for row in rows.rows():
        kind = row["key"].partition("|")[0]
        if kind == DONE:
            last = row
        else:
            found[kind].append(row)
    bad = [row for kind in found.values() for row in kind if row["status"] != "ok"]
    missing: list[Missing] = [(m[0], m[1], m[2]) for m in last["missing"]]
    missing += [(r["key"].partition("|")[0], r["key"], r["reason"]) for r in bad]
    good = {kind: [r for r in rows if r["status"] == "ok"] for kind, rows in found.items()}
    if not good["text"]:
        raise RuntimeError(
            f"no text could be measured: {bad[0]['reason'] if bad else 'none is there'}"
        )
    patches = _by_layer([r for r in good["patch"] if r["layer"] in last["roles"].values()])
    for layer in last["roles"].values():
        if layer not in patches:
            why = next(r["reason"] for r in bad if r["key"].startswith(f"patch|{layer}|"))
            raise RuntimeError(f"no pair could be patched at layer {layer}: {why}")
    return Record(
        name=name,
        depths=where,
        facts=last["facts"],
        texts=sorted(good["text"], key=lambda row: row["id"]),
        search=_by_layer(good["search"]),
        roles=last["roles"],
        patches=patches,
        missing=missing,
    )


def _by_layer(rows: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    layers = sorted({row["layer"] for row in rows})
    return {layer: [row for row in rows if row["layer"] == layer] for layer in layers}


def _status(result: Mapping[str, Any], window: int) -> dict[str, str]:
    """Whether every participation ratio exists."""
    if _finite({m: v for m, v in result.items() if m in ("pr_value", "residual_pr", "nll")}):
        return {"status": "ok", "reason": ""}
    reason = f"values in the last {window} tokens are zero, NaN or infinite"
    return {"status": "missing", "reason": reason}


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return math.isfinite(value)


@torch.inference_mode()
def facts(model: Model) -> dict[str, Any]:
    """What kind of architecture this is, read from the model itself."""
    shapes: list[int] = []
    token = torch.zeros(1, 1, dtype=torch.long, device=model.cfg.device or "cpu")
    with observed(model, {sites.value(0): lambda v: shapes.append(v.shape[2])}):
        model(token, attention_mask=torch.ones_like(token))
    config: Any = model.original_model.config.get_text_config()  # type: ignore[attr-defined] # a Module
    n_heads, n_kv = model.cfg.n_heads, shapes[0]
    kinds = {1: "MQA", n_heads: "MHA"}
    sliding = getattr(config, "sliding_window", None) and (
        getattr(config, "use_sliding_window", True) is not False
    )
    experts = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)
    norm = "RMSNorm" if "RMS" in str(model.cfg.normalization_type) else "LayerNorm"
    post = sites.has(model, sites.block(0, "ln1_post.hook_scale"))
    return {
        "attention": kinds.get(n_kv, "GQA"),
        "blocks": "parallel" if sites.is_parallel(model) else "sequential",
        "norm": f"{norm}, before and after" if post else norm,
        "sliding_window": "yes" if sliding else "no",
        "experts": "mixture" if experts else "dense",
        "tokenizer": f"{'BOS' if n_bos(model) else 'no BOS'}",
        "n_layers": model.cfg.n_layers,
        "d_value": n_kv * model.cfg.d_head,
        "heads": f"{n_heads} / {n_kv}",
    }

"""Measure one batch of pairs: a shared prefix, then every condition from the patch layer on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analyses.homeostasis.conditions import (
    UNPATCHED,
    UNPATCHED_DONOR,
    PairTokens,
    row_plan,
)
from analyses.homeostasis.patches import patched
from tl_geometry import sites
from tl_geometry.capture import last_logits, observed
from tl_geometry.geometry import attention_entropy, next_token_kl, relative_change
from tl_geometry.models import Model
from tl_geometry.patching import Readings, RowPlan, pr, run_up, value_reader
from tl_geometry.resume import resumed
from tl_geometry.tokens import TokenBatch, pad


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Where and how to measure; all of it changes numbers."""

    patch_layer: int
    early_layer: int
    window: int
    seed: int
    conditions: tuple[str, ...]


@torch.inference_mode()
def measure(model: Model, pairs: Sequence[PairTokens], setup: Setup) -> list[dict[str, Any]]:
    """One record a pair: metric → condition → list over layers from the patch layer on.

    Also `profile_pr_value` (unpatched, every layer) of target and donor. NaN marks what is
    undefined; the caller gives it a reason. Costs one pass of the unique texts up to the patch
    layer and one pass of all rows behind it.
    """
    plan = row_plan(pairs, setup.conditions)
    texts = pad(model, plan.texts)
    prefix, resid = run_up(model, texts, setup.patch_layer, setup.window)
    batch = texts.rows(plan.twin.to(texts.ids.device))
    readings = Readings(setup.window)
    with (
        resumed(model, setup.patch_layer, resid[plan.twin]),
        patched(model, plan, pairs, setup.patch_layer, setup.window, setup.seed),
        observed(model, _readers(model, batch, plan, setup, readings)),
    ):
        logits = last_logits(model, batch)
    readings.keep("next_token_kl", model.cfg.n_layers - 1, next_token_kl(logits[plan.twin], logits))
    return _records(plan, pairs, readings, prefix, setup)


def _readers(
    model: Model, batch: TokenBatch, plan: RowPlan, setup: Setup, readings: Readings
) -> dict[str, Callable[[Tensor], None]]:
    n_rows, last = len(batch), model.cfg.n_layers - 1
    # Real keys that each query of the window can see: itself and all real tokens before it.
    n_keys = batch.lengths[:, None] - torch.arange(setup.window - 1, -1, -1).to(batch.lengths)

    def spread(metric: str, layer: int) -> Callable[[Tensor], None]:
        return lambda x: readings.keep(metric, layer, pr(readings.last(x, n_rows)))

    def resid(layer: int) -> Callable[[Tensor], None]:
        def read(x: Tensor) -> None:
            x = readings.last(x, n_rows)
            readings.keep("residual_norm", layer, x.double().norm(dim=-1).mean(-1))
            readings.keep("residual_pr", layer, pr(x))
            readings.keep("residual_change", layer, relative_change(x, x[plan.twin]))

        return read

    def entropy(layer: int) -> Callable[[Tensor], None]:
        def read(pattern: Tensor) -> None:
            nats = attention_entropy(pattern[:, :, -setup.window :]).mean(1)
            readings.keep("attention_entropy", layer, nats.mean(-1))
            readings.keep("attention_entropy_share", layer, (nats / n_keys.log()).mean(-1))

        return read

    def scale(metric: str, layer: int) -> Callable[[Tensor], None]:
        return lambda x: readings.keep(
            metric, layer, readings.last(x, n_rows).double().mean((-2, -1))
        )

    readers: dict[str, Callable[[Tensor], None]] = {
        sites.FINAL_SCALE: scale("ln_final_scale", last)
    }
    for n in range(setup.patch_layer, last + 1):
        readers |= {
            sites.value(n): value_reader(readings, n, n_rows),
            sites.mlp_in(model, n): spread("pr_mlp_in", n),
            sites.mlp_out(n): spread("pr_mlp_out", n),
            sites.resid_post(n): resid(n),
            sites.pattern(n): entropy(n),
        }
        for norm, name in sites.scales(model, n).items():
            readers[name] = scale(f"{norm}_scale", n)
    return readers


def _records(
    plan: RowPlan,
    pairs: Sequence[PairTokens],
    readings: Readings,
    prefix: Readings,
    setup: Setup,
) -> list[dict[str, Any]]:
    late = {metric: readings.table(metric) for metric in readings.values}
    n_texts = len(plan.texts)
    profile = np.concatenate(
        [prefix.table("pr_value"), late["pr_value"][:, :n_texts]]
        if prefix.values
        else [late["pr_value"][:, :n_texts]]
    )
    index = {text: n for n, text in enumerate(plan.texts)}
    row_of = {c: plan.rows(c).tolist() for c in plan.conditions}
    records = []
    for i, pair in enumerate(pairs):
        target, donor = index[pair.target], index[pair.donor]
        rows = {c: of[i] for c, of in row_of.items()}
        rows |= {UNPATCHED: target, UNPATCHED_DONOR: donor}
        records.append(
            {
                "metrics": {
                    m: {c: table[:, row].tolist() for c, row in rows.items()}
                    for m, table in late.items()
                },
                "profile_pr_value": {
                    "target": profile[:, target].tolist(),
                    "donor": profile[:, donor].tolist(),
                },
                "pr_early": {
                    "target": profile[setup.early_layer, target],
                    "donor": profile[setup.early_layer, donor],
                },
            }
        )
    return records

"""Measure one batch of pairs: a shared prefix, then every condition from the patch layer on."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from analyses.homeostasis.conditions import (
    UNPATCHED,
    UNPATCHED_DONOR,
    PairTokens,
    RowPlan,
    row_plan,
)
from analyses.homeostasis.patches import patched
from tl_geometry import sites
from tl_geometry.capture import last_logits, observed, residual_before
from tl_geometry.geometry import (
    attention_entropy,
    gram,
    next_token_kl,
    relative_change,
    spectral_participation,
)
from tl_geometry.models import Model
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


@dataclass
class Readings:
    """Numbers of each row, collected while the model runs: metric → layer → value per row."""

    window: int
    values: dict[str, dict[int, Tensor]] = field(default_factory=lambda: defaultdict(dict))

    def keep(self, metric: str, layer: int, value: Float[Tensor, " row"]) -> None:
        self.values[metric][layer] = value

    def last(self, activation: Tensor, n_rows: int) -> Tensor:
        """The window of each row, as [row, w, d], whatever the family hands over."""
        by_row = (
            activation.reshape(n_rows, -1, *activation.shape[1:])
            if (len(activation) != n_rows)
            else activation
        )
        return by_row[:, -self.window :].flatten(2)


@torch.inference_mode()
def measure(model: Model, pairs: Sequence[PairTokens], setup: Setup) -> list[dict[str, Any]]:
    """One record a pair: metric → condition → list over layers from the patch layer on.

    Also `profile_pr_value` (unpatched, every layer) of target and donor. NaN marks what is
    undefined; the caller gives it a reason. Costs one pass of the unique texts up to the patch
    layer and one pass of all rows behind it.
    """
    plan = row_plan(pairs, setup.conditions)
    texts = pad(model, plan.texts)
    prefix, resid = _prefix(model, texts, setup)
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


def _prefix(model: Model, texts: TokenBatch, setup: Setup) -> tuple[Readings, Tensor]:
    """The residual entering the patch layer, and the value PRs of the layers before it."""
    readings = Readings(setup.window)
    readers = {
        sites.value(n): _value_reader(readings, n, len(texts)) for n in range(setup.patch_layer)
    }
    with observed(model, readers) if readers else nullcontext():
        return readings, residual_before(model, texts, setup.patch_layer)


def _value_reader(readings: Readings, layer: int, n_rows: int) -> Callable[[Tensor], None]:
    def read(values: Tensor) -> None:
        x = readings.last(values, n_rows)
        readings.keep("pr_value", layer, _pr(x))
        readings.keep("pr_value_centered", layer, _pr(x, centered=True))
        readings.keep("pr_value_row_normalized", layer, _pr(x, row_normalized=True))

    return read


def _pr(x: Tensor, **variant: bool) -> Tensor:
    return spectral_participation(gram(x, **variant))


def _readers(
    model: Model, batch: TokenBatch, plan: RowPlan, setup: Setup, readings: Readings
) -> dict[str, Callable[[Tensor], None]]:
    n_rows, last = len(batch), model.cfg.n_layers - 1
    # Real keys that each query of the window can see: itself and all real tokens before it.
    n_keys = batch.lengths[:, None] - torch.arange(setup.window - 1, -1, -1).to(batch.lengths)

    def pr(metric: str, layer: int) -> Callable[[Tensor], None]:
        return lambda x: readings.keep(metric, layer, _pr(readings.last(x, n_rows)))

    def resid(layer: int) -> Callable[[Tensor], None]:
        def read(x: Tensor) -> None:
            x = readings.last(x, n_rows)
            readings.keep("residual_norm", layer, x.double().norm(dim=-1).mean(-1))
            readings.keep("residual_pr", layer, _pr(x))
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
            sites.value(n): _value_reader(readings, n, n_rows),
            sites.mlp_in(model, n): pr("pr_mlp_in", n),
            sites.mlp_out(n): pr("pr_mlp_out", n),
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
    late = {metric: _table(layers) for metric, layers in readings.values.items()}
    n_texts = len(plan.texts)
    profile = np.concatenate(
        [_table(prefix.values["pr_value"]), late["pr_value"][:, :n_texts]]
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


def _table(layers: dict[int, Tensor]) -> Float[np.ndarray, "layer row"]:
    stacked = torch.stack([layers[n] for n in sorted(layers)])
    return stacked.double().cpu().numpy()

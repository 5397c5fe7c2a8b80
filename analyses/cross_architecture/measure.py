"""What is measured of one model: every layer of every text in one pass, and patches of pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import continuation_log_prob, observed, tail_logits
from tl_geometry.geometry import next_token_kl
from tl_geometry.interventions import Edit, edited
from tl_geometry.models import Model
from tl_geometry.patching import (
    Ids,
    Readings,
    RowPlan,
    copied_values,
    pr,
    row_plan,
    run_up,
    value_reader,
)
from tl_geometry.resume import resumed
from tl_geometry.tokens import pad

CONDITIONS: Mapping[str, str] = {
    "patched": "values of the self-observing donor",
    "other_plain": "values of another plain text",
    "shuffled_words": "values of the donor with its words in another order",
    "reverse": "values of the plain text, put into the self-observing one",
    "wrong_layer": "the donor's values at an earlier layer, read at the same places",
    "self": "own values: nothing may change (software check)",
    "shuffled_rows": "the donor's values in another order: same PR at the site (software check)",
    "sign": "the donor's values with the other sign: same PR at the site (software check)",
}
CHECKS = ("self", "shuffled_rows", "sign")
SAID = ("patched", "other_plain", "shuffled_words", "reverse")
"""Conditions for which continuations are scored."""
TEXT_METRICS = ("pr_value", "pr_value_centered", "pr_value_row_normalized", "residual_pr")


@dataclass(frozen=True)
class PairIds:
    """One pair as token ids, with what its controls need."""

    target: Ids
    donor: Ids
    other: Ids
    """A plain text that is the target of no pair."""
    shuffled: Ids
    """The donor with its words in another order."""
    said: tuple[Ids, Ids]
    """How a self-observing and a plain text go on, equally long: from texts of the other half."""


@torch.inference_mode()
def sweep(model: Model, texts: Sequence[Ids], window: int) -> list[dict[str, Any]]:
    """PR of values and residual stream at every layer, in one pass; and what else tells texts
    apart: tokens, distinct tokens in the window, mean negative log-likelihood (nats a token)."""
    batch, readings = pad(model, texts), Readings(window)
    readers = {}
    for n in range(model.cfg.n_layers):
        readers[sites.value(n)] = value_reader(readings, n, len(batch))
        readers[sites.resid_post(n)] = residual_reader(readings, n, len(batch))
    with observed(model, readers):
        logits = tail_logits(model, batch, batch.ids.shape[1])
    log_probs = continuation_log_prob(logits, batch.ids)
    # The first real token has nothing before it but padding.
    told = batch.mask[:, 1:] * batch.mask[:, :-1]
    nll = -(log_probs * told).sum(-1) / told.sum(-1)
    tables = {metric: readings.table(metric) for metric in TEXT_METRICS}
    return [
        {
            "tokens": int(batch.lengths[row] - batch.n_bos[row]),
            "distinct_tokens": len(set(text[-window:])) / window,
            "nll": float(nll[row]),
            **{metric: table[:, row].tolist() for metric, table in tables.items()},
        }
        for row, text in enumerate(texts)
    ]


def residual_reader(readings: Readings, layer: int, n_rows: int) -> Any:
    """Keeps the participation ratio of the residual stream behind a block."""
    return lambda x: readings.keep("residual_pr", layer, pr(readings.last(x, n_rows)))


@torch.inference_mode()
def patches(
    model: Model,
    pairs: Sequence[PairIds],
    layer: int,
    window: int,
    *,
    conditions: Sequence[str] = tuple(CONDITIONS),
    wrong: int | None = None,
    said: bool = True,
) -> list[dict[str, Any]]:
    """One record a pair: what the values of another text at `layer` do there and behind it.

    metric → condition → list over layers from `layer` on; `unpatched` and `unpatched_donor` are
    among the conditions; `next_token_kl` and `continuation` are single numbers. `wrong` is the
    layer for `wrong_layer`; without `said`, no continuation is scored.
    """
    here = [c for c in conditions if c != "wrong_layer"]
    plan = row_plan({c: [_texts(pair, c) for pair in pairs] for c in here})
    found = _passed(model, plan, layer, layer, window, _edit(plan, window))
    if "wrong_layer" in conditions and wrong is not None:
        only = row_plan({"wrong_layer": [_texts(pair, "patched") for pair in pairs]})
        late = _passed(model, only, wrong, layer, window, copied_values(only.donor, window))
        for record, other in zip(found, late, strict=True):
            for metric, rows in other.items():
                record[metric]["wrong_layer"] = rows["wrong_layer"]
    scored = [c for c in SAID if said and c in here]
    if scored:
        for record, scores in zip(found, _said(model, pairs, layer, window, scored), strict=True):
            record["continuation"] = scores
    return found


def _texts(pair: PairIds, condition: str) -> tuple[Ids, Ids]:
    """(text of the row, text whose values it takes)."""
    return {
        "reverse": (pair.donor, pair.target),
        "other_plain": (pair.target, pair.other),
        "shuffled_words": (pair.target, pair.shuffled),
        "self": (pair.target, pair.target),
    }.get(condition, (pair.target, pair.donor))


def _edit(plan: RowPlan, window: int) -> Edit:
    copy, turned, mixed = copied_values(plan.donor, window), plan.rows("sign"), plan.rows(CHECKS[1])

    def edit(values: Float[Tensor, "row pos n_kv d_head"]) -> Tensor:
        new = copy(values)
        new[turned, -window:] *= -1
        new[mixed, -window:] = new[mixed, -window:].flip(1)
        return new

    return edit


def _passed(
    model: Model, plan: RowPlan, patch: int, read: int, window: int, edit: Edit
) -> list[dict[str, Any]]:
    """Run the plan with its edit at `patch`; read from `read` on."""
    texts = pad(model, plan.texts)
    _, resid = run_up(model, texts, patch, window)
    batch = texts.rows(plan.twin.to(texts.ids.device))
    readings = Readings(window)
    readers = {}
    for n in range(read, model.cfg.n_layers):
        readers[sites.value(n)] = value_reader(readings, n, len(batch))
        readers[sites.resid_post(n)] = residual_reader(readings, n, len(batch))
    with (
        resumed(model, patch, resid[plan.twin]),
        edited(model, {sites.value(patch): edit}),
        observed(model, readers),
    ):
        logits = tail_logits(model, batch, 1)[:, -1]
    tables = {m: readings.table(m) for m in ("pr_value", "residual_pr")}
    kl = next_token_kl(logits[plan.twin], logits).cpu().numpy()
    return _records(plan, {**tables, "next_token_kl": kl[None]})


def _records(
    plan: RowPlan, tables: Mapping[str, Float[np.ndarray, "layer row"]]
) -> list[dict[str, Any]]:
    first = plan.rows(plan.conditions[0])
    records = []
    for i in range(plan.n_pairs):
        rows = {c: int(plan.rows(c)[i]) for c in plan.conditions}
        rows["unpatched"] = int(plan.twin[first[i]])
        rows["unpatched_donor"] = int(plan.donor[first[i]])
        records.append(
            {
                m: {c: table[:, row].tolist() for c, row in rows.items()}
                for m, table in tables.items()
            }
        )
    return records


def _said(
    model: Model, pairs: Sequence[PairIds], layer: int, window: int, conditions: Sequence[str]
) -> list[dict[str, float]]:
    """Mean log-probability (nats a token) of the self-observing continuation minus the plain one.

    The patch is at the end of the text, before the continuation, which follows unpatched.
    """
    n = len(pairs[0].said[0])
    wanted = {
        f"{condition}:{side}": [
            tuple((*text, *pair.said[side]) for text in _texts(pair, condition)) for pair in pairs
        ]
        for condition in conditions
        for side in (0, 1)
    }
    plan = row_plan(wanted)  # type: ignore[arg-type]  # tuples of two texts
    texts = pad(model, plan.texts)
    _, resid = run_up(model, texts, layer, window)
    batch = texts.rows(plan.twin.to(texts.ids.device))
    with (
        resumed(model, layer, resid[plan.twin]),
        edited(model, {sites.value(layer): copied_values(plan.donor, window, behind=n)}),
    ):
        logits = tail_logits(model, batch, n + 1)
    mean = continuation_log_prob(logits, batch.ids).mean(-1).cpu().numpy()
    return [_contrasts(plan, mean, i, conditions) for i in range(len(pairs))]


def _contrasts(
    plan: RowPlan, mean: Float[np.ndarray, " row"], pair: int, conditions: Sequence[str]
) -> dict[str, float]:
    def contrast(condition: str, of: Tensor | None = None) -> float:
        rows = [plan.rows(f"{condition}:{side}")[pair] for side in (0, 1)]
        recursive, plain = (int(row if of is None else of[row]) for row in rows)
        return float(mean[recursive] - mean[plain])

    scores = {condition: contrast(condition) for condition in conditions}
    scores["unpatched"] = contrast(conditions[0], plan.twin)
    scores["unpatched_donor"] = contrast(conditions[0], plan.donor)
    return scores

"""Records of the cross-architecture analysis, made by hand: what is true of them is known."""

from collections.abc import Mapping
from typing import Any

import numpy as np

N = 40
"""Texts of each kind, and pairs; every second text belongs to the choosing half."""
FACTS = {
    "attention": "GQA",
    "blocks": "sequential",
    "norm": "RMSNorm",
    "sliding_window": "no",
    "experts": "dense",
    "tokenizer": "BOS",
    "heads": "4 / 2",
}


def made_texts(
    gap: Mapping[int, float],
    *,
    half: str = "both",
    n_layers: int = 16,
    n: int = N,
    seed: int = 0,
    noise: float = 0.1,
) -> list[dict[str, Any]]:
    """Texts whose log PR is 2 with noise; `gap` (layer → size) is added to self-observing ones."""
    rng, rows = np.random.default_rng(seed), []
    for kind in ("recursive", "plain"):
        for i in range(n):
            chooses = i % 2 == 0
            log_pr = 2 + noise * rng.normal(size=n_layers)
            if kind == "recursive" and half in ("both", "choosing" if chooses else "measuring"):
                log_pr[list(gap)] += list(gap.values())
            rows.append(
                {
                    "id": f"{'d' if kind == 'recursive' else 't'}{i}",
                    "kind": kind,
                    "chooses": chooses,
                    "status": "ok",
                    "pr_value": np.exp(log_pr).tolist(),
                    "tokens": int(rng.integers(20, 40)),
                    "distinct_tokens": float(rng.integers(8, 17)) / 16,
                    "nll": float(rng.normal(3, 0.3)),
                }
            )
    return rows


def made_pairs(
    change: Mapping[str, Any],
    *,
    what: str = "patch",
    layer: int = 13,
    n_layers: int = 16,
    gap: Any = 0.5,
    n: int = N,
) -> list[dict[str, Any]]:
    """Pairs t0|d0, …; a condition changes log PR of the last layer by `change` (number or array),
    and the donor's own lies `gap` above the target's."""
    deep = np.ones(n_layers - layer)
    gaps = np.broadcast_to(gap, n)
    rows = []
    for i in range(n):
        pr = {"unpatched": 10 * deep, "unpatched_donor": 10 * np.exp(gaps[i]) * deep}
        for condition, size in change.items():
            twin = pr["unpatched_donor" if condition == "reverse" else "unpatched"]
            pr[condition] = twin * np.exp(
                np.broadcast_to(size, n)[i] * (deep.cumsum() == len(deep))
            )
            if len(deep) > 1 and condition in ("patched", "sign", "shuffled_rows"):
                pr[condition][0] = pr["unpatched_donor"][0]
        both = {condition: values.tolist() for condition, values in pr.items()}
        rows.append(
            {
                "key": f"{what}|{layer}|t{i}|d{i}",
                "status": "ok",
                "layer": layer,
                "pr_value": both,
                "residual_pr": both,
                "next_token_kl": dict.fromkeys(both, [0.1]),
            }
        )
    return rows


def made_record(
    texts: list[dict[str, Any]],
    patches: Mapping[int, Any] | None = None,
    search: Mapping[int, Any] | None = None,
    *,
    name: str = "made",
    **roles: int,
) -> Any:
    from analyses.cross_architecture.config import Config
    from analyses.cross_architecture.plan import depths
    from analyses.cross_architecture.recording import Record

    where = depths(len(texts[0]["pr_value"]), Config())
    chosen = {"gap": where.fixed, "drop": where.fixed, "fixed": where.fixed, **roles}
    return Record(name, where, FACTS, texts, search or {}, chosen, patches or {}, ())

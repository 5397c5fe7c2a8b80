"""Three definitions of the critical layer; every one is chosen on prompts that measure nothing.

gap    where self-observing and plain texts differ most in log R_V
drop   where that difference grows most from one layer to the next
patch  where a patch has the largest effect on the last layer
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from analyses.cross_architecture.plan import Depths
from tl_geometry.layer_search import strongest

Rows = Sequence[Mapping[str, Any]]
DEFINITIONS: Mapping[str, str] = {
    "gap": "largest gap of log R_V between the kinds of text",
    "drop": "largest growth of that gap from one layer to the next",
    "patch": "largest effect of a patch on the last layer's log R_V",
}


def log_pr(texts: Rows, metric: str = "pr_value") -> Float[np.ndarray, "text layer"]:
    return np.log(np.array([row[metric] for row in texts], float))


def recursive(texts: Rows) -> Bool[np.ndarray, " text"]:
    return np.array([row["kind"] == "recursive" for row in texts], bool)


def choosing(texts: Rows) -> list[Mapping[str, Any]]:
    return [row for row in texts if row.get("chooses")]


def measuring(texts: Rows) -> list[Mapping[str, Any]]:
    return [row for row in texts if not row.get("chooses")]


def candidates(where: Depths, span: str = "all") -> list[int]:
    """Layers behind the early one; or those of the seed's sweep."""
    if span == "seed":
        return list(range(where.seed_range[0], where.seed_range[1] + 1))
    return list(range(where.early + 1, where.n_layers))


def searched(
    texts: Rows, where: Depths, definition: str, span: str = "all"
) -> Float[np.ndarray, "text candidate"]:
    """What is searched: log R_V, or its step from the layer before."""
    values, layers = log_pr(texts), candidates(where, span)
    before = [where.early] * len(layers) if definition == "gap" else [n - 1 for n in layers]
    return values[:, layers] - values[:, before]


def searchable(
    texts: Rows, where: Depths, definition: str, span: str = "all"
) -> Float[np.ndarray, "text candidate"]:
    """`searched`, with 0 for steps by which the gap does not grow: closing it is no critical layer,
    however large the step."""
    values = searched(texts, where, definition, span)
    if definition != "drop":
        return values
    first, layers = recursive(texts), np.array(candidates(where, span))
    r_v = log_pr(texts) - log_pr(texts)[:, [where.early]]
    gap = np.abs(r_v[first].mean(axis=0) - r_v[~first].mean(axis=0))
    return np.where(gap[layers] > gap[layers - 1], values, 0.0)


def by_gap(texts: Rows, where: Depths) -> dict[str, int]:
    """The layers of the first two definitions, over all layers behind the early one."""
    half = choosing([row for row in texts if row["status"] == "ok"])
    layers = candidates(where)
    return {
        definition: layers[strongest(searchable(half, where, definition), recursive(half))]
        for definition in ("gap", "drop")
    }


def last_change(rows: Rows, condition: str = "patched") -> Float[np.ndarray, " pair"]:
    """Change of log R_V at the last layer against the row's own unpatched twin.

    R_V's early layer cancels, so this is the change of log PR.
    """
    twin = "unpatched_donor" if condition == "reverse" else "unpatched"
    last = [(r["pr_value"][condition][-1], r["pr_value"][twin][-1]) for r in rows]
    return np.log(np.array(last)) @ np.array([1.0, -1.0])


def search_table(search: Mapping[int, Rows]) -> tuple[list[int], Float[np.ndarray, "pair layer"]]:
    """Layers, and the effect of a patch there on the last layer, for pairs measured at all."""
    keys = [
        {row["key"].split("|", 2)[2] for row in rows if row["status"] == "ok"}
        for rows in search.values()
    ]
    shared = sorted(set.intersection(*keys)) if keys else []
    columns = []
    for rows in search.values():
        by_key = {row["key"].split("|", 2)[2]: row for row in rows}
        columns.append(last_change([by_key[key] for key in shared]))
    return list(search), np.stack(columns, axis=1)


def by_patch(search: Mapping[int, Rows]) -> int:
    """The layer of the third definition."""
    layers, effects = search_table(search)
    return layers[strongest(effects)]

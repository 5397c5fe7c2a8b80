"""The looks of methods, what counts as a tested depth, and which models were not measured."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, cast

import pandas as pd

from figures.rows import absent, records, select, values_of, where
from figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, Look, plain

OWN_RULE = "free"
"""The depth column of a method's own choice among all layers."""
AS = "as "
"""So begins the depth column of random directions exactly as long as a method's, at its place."""
BEST = "best depth on validation"
"""The `choice` of the verdicts that is reported first."""
WORKS, PARTIAL = 60, 20
"""Per cent of coherent refusals from which a method *works*, or does so partly."""
MAX_KL = 0.1
"""Nats a token on neutral text from which taking refusal away costs too much."""

_METHODS: Mapping[str, Look] = {
    "dim": Look("DIM", BLUE),
    "cosmic": Look("COSMIC", VERMILLION, symbol="square"),
}
_OTHERS = ((GREEN, "diamond"), (ORANGE, "triangle-up"), (PURPLE, "pentagon"), (BLACK, "hexagon"))


def is_control(source: object) -> bool:
    return absent(source) or source in ("none", "shuffled") or str(source).startswith("random")


def methods(table: pd.DataFrame, column: str = "source") -> dict[str, Look]:
    """The methods of a table and how they look, DIM and COSMIC first."""
    present = [str(name) for name in values_of(table, column) if not is_control(name)]
    known = [name for name in _METHODS if name in present]
    others = [name for name in present if name not in _METHODS]
    made = zip(others, cycle(_OTHERS), strict=False)
    return {name: _METHODS[name] for name in known} | {
        name: Look(plain(name.upper()), colour, symbol=symbol) for name, (colour, symbol) in made
    }


def depth_of(value: Any) -> float | None:
    """A tested depth as a share; None for a method's own choice, where nothing is added, and for
    random directions "as" a method's."""
    if absent(value) or value in ("", OWN_RULE) or str(value).startswith(AS):
        return None
    return float(value)


def at_depths(table: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Steered conditions of a phase at the depths that were asked for, shallow ones first."""
    rows = select(table, phase=phase)
    rows = where(rows, rows["dose"] > 0)
    rows = where(rows, [depth_of(value) is not None for value in rows["depth"].tolist()])
    share = [depth_of(value) for value in rows["depth"].tolist()]
    return rows.assign(share=share).sort_values("share", kind="stable")


def chosen(rows: pd.DataFrame, verdicts: pd.DataFrame | None) -> pd.DataFrame:
    """Of one model's and method's conditions, the one chosen on validation prompts."""
    if rows.empty or verdicts is None or verdicts.empty:
        return rows.head(0)
    (cell, *_) = records(rows)
    named = {"model": cell["model"], "method": cell["source"]}
    at = select(verdicts, choice=BEST, **named)
    hits = where(rows, [depth_of(depth) is not None for depth in rows["depth"].tolist()])
    hits = where(hits, hits["layer"].isin(at["layer"]) & hits["dose"].isin(at["dose"]))
    return hits.head(1)


def failed(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Models that could not be measured, with the reason."""
    missing = tables.get("missing")
    if missing is None or missing.empty:
        return {}
    return {str(row["id"]): _reason(row) for row in records(select(missing, what="model"))}


def failed_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    return [f"not measured: {plain(name)}: {plain(why)}" for name, why in failed(tables).items()]


def own_rule_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Models in which a method's own rule names no direction, with the reason."""
    missing = tables.get("missing")
    if missing is None or missing.empty:
        return []
    rows = [(row, str(row["id"]).partition("|")) for row in records(missing)]
    return [
        f"no direction by the own rule of {plain(method.upper())}: {plain(row['what'])}: "
        f"{plain(_reason(row))}"
        for row, (method, _, depth) in rows
        if row["what"] != "model" and depth == OWN_RULE
    ]


def _reason(row: Mapping[str, Any]) -> str:
    return "no reason was recorded" if absent(row["reason"]) else str(row["reason"])


def percent(value: Any) -> str:
    return "unknown" if absent(value) else f"{100 * value:.0f} %"


def span(shares: Sequence[float]) -> str:
    """Ascending shares as `20–60 %`."""
    ends = [f"{100 * share:.0f}" for share in (shares[0], shares[-1])]
    return f"{ends[0]} %" if ends[0] == ends[1] else f"{ends[0]}–{ends[1]} %"


def rate(table: pd.DataFrame, name: str) -> pd.Series:
    """A share in per cent; missing throughout where the table has no such column."""
    if name not in table:
        return pd.Series(float("nan"), index=table.index)
    return 100 * cast(pd.Series, table[name]).astype(float)


def in_percent(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rate `name` with its interval as columns estimate, low and high, in per cent."""
    low, high = (rate(table, f"{name}_{end}") for end in ("low", "high"))
    return table.assign(estimate=rate(table, name), low=low, high=high)

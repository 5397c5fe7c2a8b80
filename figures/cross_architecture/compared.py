"""Effects of the comparison table under the names that all tables of estimates share."""

from collections.abc import Mapping

import pandas as pd

from figures.cross_architecture.over_models import OWN
from figures.rows import absent, records, select
from figures.words import Cell

_COLUMNS = ("model", "layer", "depth_percent", "estimate", "low", "high", "reason", "status", "n")


def cells(table: pd.DataFrame, prefix: str, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One effect of the measured models, under the names that all tables of estimates share."""
    measured, n = select(table, status="ok"), _n(tables)
    rows = [
        {
            "model": row["model"],
            "layer": int(row["critical_layer"]),
            "depth_percent": row["depth_percent"],
            "estimate": row[prefix],
            **{key: row[f"{prefix}_{key}"] for key in ("low", "high", "reason")},
            "status": "missing" if absent(row[f"{prefix}_low"]) else "ok",
            "n": n.get(row["model"], float("nan")),
        }
        for row in records(measured)
        if prefix in row and not _never(row, prefix)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _never(row: Cell, prefix: str) -> bool:
    """Neither a value nor a reason: there is no such model."""
    return absent(row[prefix]) and not isinstance(row[f"{prefix}_reason"], str)


def _n(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Texts behind each model's g; the comparison itself does not name them."""
    inputs = tables.get("meta_inputs")
    if inputs is None or inputs.empty:
        return {}
    return {row["model"]: row["n"] for row in records(select(inputs, effect=OWN))}

"""Typed access to tidy tables, whose columns pandas leaves untyped."""

from typing import Any, cast

import numpy as np
import pandas as pd


def select(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """Rows in which every named column equals the value, or one of a tuple of values."""
    keep = pd.Series(True, index=table.index)
    for column, value in wanted.items():
        keep &= table[column].isin(value if isinstance(value, tuple) else (value,))
    return cast(pd.DataFrame, table[keep])


def without(table: pd.DataFrame, column: str, value: object) -> pd.DataFrame:
    return cast(pd.DataFrame, table[table[column] != value])


def where(table: pd.DataFrame, flags: Any) -> pd.DataFrame:
    # As an array: of a table without rows, an empty list would ask for no columns.
    return cast(pd.DataFrame, table[np.asarray(flags, bool)])


def count(flags: Any) -> int:
    """How many are true; the sum, where they are numbers."""
    return int(np.sum(flags.to_numpy()))


def absent(value: Any) -> bool:
    """None and NaN, which tables use for the same thing."""
    return value is None or bool(pd.isna(value))


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], table.to_dict("records"))


def values_of(table: pd.DataFrame, column: str) -> list[Any]:
    """The different values of a column, in order of appearance."""
    return list(dict.fromkeys(table[column].tolist()))


def layers_of(table: pd.DataFrame) -> list[int]:
    return sorted(int(layer) for layer in values_of(table, "layer"))


def at_last_layer(table: pd.DataFrame) -> pd.DataFrame:
    layers = layers_of(table)
    return select(table, layer=layers[-1]) if layers else table


def has_interval(table: pd.DataFrame) -> pd.Series:
    return cast(pd.Series, table["low"].notna() & table["high"].notna())


def n_range(table: pd.DataFrame) -> str:
    """`24`, or `23–24` where the rows differ."""
    n = sorted({int(n) for n in table["n"].dropna().tolist()})
    return "unknown" if not n else str(n[0]) if len(n) == 1 else f"{n[0]}–{n[-1]}"

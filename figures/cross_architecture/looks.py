"""The look of each model, the same in every figure of a run, and which rows speak of what.

Colour, dash and symbol together tell the models apart. Hollow marks: the same architecture with
random weights.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from figures.rows import has_interval, values_of, where
from figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Look,
    number,
    plain,
    wrap,
)

TWIN = "--untrained"
"""Ending of the name of a model with random weights."""
UNTRAINED = "random weights"

_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "pentagon",
    "hexagon",
    "star",
    "cross",
    "x",
)
# 7, 6 and 10 have no common multiple below 210: no two models of a run look the same.

CONDITIONS: Mapping[str, str] = {
    "patched": "patched: values of the self-observing donor",
    "other_plain": "other_plain: values of another plain text",
    "patched − other_plain": "patched − other_plain: what the kind of text adds",
    "patched − shuffled_words": "patched − shuffled_words: what the order of words adds",
    "patched − wrong_layer": "patched − wrong_layer: what the layer adds",
    "shuffled_words": "shuffled_words: the donor, its words in another order",
    "reverse": "reverse: plain values, put into the self-observing text",
    "wrong_layer": "wrong_layer: the donor's values at an earlier layer",
}


def looks(tables: Mapping[str, pd.DataFrame]) -> dict[str, Look]:
    """Every model of the run by its name, in the order of the request."""
    first = [name for name in ("comparison",) if name in tables]
    names = dict.fromkeys(
        base(model)
        for name in (*first, *tables)
        if "model" in tables[name]
        for model in values_of(tables[name], "model")
    )
    return {
        name: Look(
            wrap(plain(name), 22),
            _COLOURS[i % len(_COLOURS)],
            _DASHES[i % len(_DASHES)],
            _SYMBOLS[i % len(_SYMBOLS)],
        )
        for i, name in enumerate(names)
    }


def base(model: object) -> str:
    return str(model).removesuffix(TWIN)


def is_twin(table: pd.DataFrame) -> pd.Series:
    return table["model"].astype(str).str.endswith(TWIN)


def trained(table: pd.DataFrame) -> pd.DataFrame:
    return where(table, ~is_twin(table))


def named(model: str) -> str:
    """A model's name in a note."""
    return plain(f"{base(model)} ({UNTRAINED})" if model.endswith(TWIN) else model)


def with_role(table: pd.DataFrame, role: str) -> pd.DataFrame:
    """Rows of the layers that were patched for this reason (one layer can have several)."""
    roles = table["roles"].fillna("").astype(str).str.split(", ")
    return where(table, [role in names for names in roles])


def at_last_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Rows read at the last layer of their own model."""
    last = table.groupby("model")["layer"].transform("max")
    return where(table, table["layer"] == last)


def fixed_depth(tables: Mapping[str, pd.DataFrame]) -> float | None:
    """Depth that all models are patched at, in per cent; None where no table names it."""
    effects = tables.get("effects")
    if effects is None or effects.empty:
        return None
    fixed = with_role(trained(effects), "fixed")
    depths = where(fixed, fixed["layer"] == fixed["patch_layer"])["depth_percent"]
    return float(np.median(depths)) if len(depths) else None


def at_fixed(tables: Mapping[str, pd.DataFrame]) -> str:
    """` at 84 % of the depth`, as far as it is known."""
    depth = fixed_depth(tables)
    return "at the fixed depth" if depth is None else f"at {number(depth)} % of the depth"


def clear(table: pd.DataFrame, level: float = 0.0) -> pd.DataFrame:
    """Rows whose whole interval lies on one side of the level."""
    return where(table, has_interval(table) & ((table["low"] > level) | (table["high"] < level)))


def share(table: pd.DataFrame, level: float = 0.0) -> str:
    """`3 of 7`: models of a table of one row a model whose interval excludes the level."""
    return f"{len(clear(table, level))} of {len(table)}"

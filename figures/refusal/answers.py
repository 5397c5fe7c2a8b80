"""Generated answers as data of the report's browser, and a sheet of some for rating by hand."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from figures.refusal.looks import depth_of
from figures.rows import absent, records, select, where

SAMPLES = "samples"
"""The table's name."""
FILTERS = ("model", "phase", "source", "depth", "quality")
_NEEDED = (*FILTERS, "prompt", "response")
_COLUMNS = (*_NEEDED, "kind", "layer", "dose", "strict", "seed", "arditi")
CONDITION = ("model", "quantization", "phase", "kind", "source", "depth", "layer", "dose")
"""Columns that tell conditions apart, as far as the table has them."""
RATED = 10
"""Answers of each condition on the sheet for rating."""


def browser(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any] | None:
    """What the template needs; None without a table of answers.

    The data are JSON with <, >, & and ' as \\u003c …, in ASCII: no text can end the script that
    holds it. Each column is its different values and, row by row, which one it is.
    """
    table = tables.get(SAMPLES)
    if table is None or table.empty or not set(_NEEDED) <= set(table.columns):
        return None
    table = table.reset_index(drop=True)
    rated = to_rate(table, tables.get("verdicts"))
    columns = {name: _coded(table, name) for name in _COLUMNS if name in table}
    samples = sample_ids(table.loc[rated])
    data = {"columns": columns, "rated": rated, "samples": samples, "n": len(table)}
    return {
        "json": Markup(htmlsafe_json_dumps(data)),
        "filters": FILTERS,
        "n": len(table),
        "rated": len(rated),
        "each": RATED,
    }


def _coded(table: pd.DataFrame, name: str) -> dict[str, list[Any]]:
    said = [_said(value) for value in table[name].astype(object).tolist()]
    values = {text: code for code, text in enumerate(dict.fromkeys(said))}
    return {"values": list(values), "codes": [values[text] for text in said]}


def _said(value: Any) -> str:
    """A cell as text; what is missing is empty."""
    if absent(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)


def sample_ids(samples: pd.DataFrame) -> list[str]:
    """A name for each answer, from its condition and its words: the same wherever it is made."""
    columns = [name for name in (*CONDITION, "prompt", "response") if name in samples]
    cells = [[_said(value) for value in samples[name].astype(object)] for name in columns]
    rows = (json.dumps(row).encode() for row in zip(*cells, strict=True))
    # A letter first: a spreadsheet would take 12345e678 for a number.
    return [f"s{hashlib.sha256(row).hexdigest()[:12]}" for row in rows]


def to_rate(samples: pd.DataFrame, verdicts: pd.DataFrame | None) -> list[int]:
    """Row numbers of some answers of every condition that works, drawn with a fixed seed."""
    if verdicts is None or verdicts.empty:
        return []
    asked = select(samples, phase="test")
    rows: list[int] = []
    for cell in records(select(verdicts, verdict="works")):
        mine = _answers(asked, cell)
        drawn = mine.sample(min(RATED, len(mine)), random_state=0)
        rows += sorted(set(map(int, drawn.index)) - set(rows))
    return rows


def _answers(asked: pd.DataFrame, cell: Mapping[str, Any]) -> pd.DataFrame:
    """The test answers that a verdict rests on."""
    mine = select(asked, model=cell["model"], source=cell["method"])
    own = cell["choice"] == "own rule"
    mine = where(mine, [(depth_of(d) is None) == own for d in mine["depth"].tolist()])
    layer, dose = (mine[name].to_numpy(float) for name in ("layer", "dose"))
    return where(mine, np.isclose(layer, cell["layer"]) & np.isclose(dose, cell["dose"]))

"""What the plan's rules say to do, as rows of a table that is read and not only looked up."""

from collections.abc import Mapping

import pandas as pd

from figures.rows import absent, records

DECISIONS = "decisions"
"""The table's name."""
COLUMNS = ("point", "about", "action", "reason")


def decided(tables: Mapping[str, pd.DataFrame]) -> list[list[str]] | None:
    """Rows of text in the order of COLUMNS; None without such a table."""
    table = tables.get(DECISIONS)
    if table is None or not set(COLUMNS) <= set(table.columns):
        return None
    return [
        ["" if absent(row[name]) else str(row[name]) for name in COLUMNS] for row in records(table)
    ]

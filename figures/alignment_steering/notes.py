"""What could not be measured, in the words of the table `missing`."""

from collections.abc import Mapping

import pandas as pd

from figures.rows import records, select
from figures.style import plain


def failed_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    missing = tables.get("missing")
    if missing is None or missing.empty:
        return []
    rows = records(select(missing, what="model"))
    return [f"not measured: {plain(row['id'])}: {plain(row['reason'])}" for row in rows]

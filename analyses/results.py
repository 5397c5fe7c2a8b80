"""What every analysis hands back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True, repr=False)
class Results:
    """A finished run: where it is, its tables by name, and the summary behind the report."""

    folder: Path
    tables: Mapping[str, pd.DataFrame]
    summary: Mapping[str, Any]

    def __repr__(self) -> str:
        return "\n".join([f"{self.folder}: {', '.join(self.tables)}", *self.summary["headline"]])

    def figures(self) -> dict[str, Any]:
        """Plotly figures by name, in reading order."""
        from figures.run_folder import figures_of

        return figures_of(self.summary["analysis"])(self.tables)

"""Every figure of an analysis from its tables; what cannot be drawn says so in its place."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.style import nothing

Tables = Mapping[str, pd.DataFrame]
Draw = Callable[[Tables], go.Figure]
Gallery = Mapping[str, tuple[Draw, tuple[str, ...]]]
"""Name → (how it is drawn, the tables that it cannot do without), in reading order."""


def draw_all(gallery: Gallery, tables: Tables) -> dict[str, go.Figure]:
    """Every figure; one whose table is absent or empty says so in its place."""
    drawn = {}
    for name, (draw, needed) in gallery.items():
        lacking = [table for table in needed if table not in tables or tables[table].empty]
        drawn[name] = (
            nothing(f"No figure “{name}”", f"the table {lacking[0]}.csv is absent or has no rows")
            if lacking
            else draw(tables)
        )
    return drawn

"""Figures of the cross-architecture analysis, in reading order."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.behaviour import behaviour
from figures.cross_architecture.behind import behind
from figures.cross_architecture.confounds import confounds
from figures.cross_architecture.depths import critical_depths
from figures.cross_architecture.forest import forest
from figures.cross_architecture.patterns import patterns
from figures.cross_architecture.profile import depth_profile
from figures.cross_architecture.transfer import gap_and_effect
from figures.style import nothing

Draw = Callable[[Mapping[str, pd.DataFrame]], go.Figure]

FIGURES: Mapping[str, tuple[Draw, tuple[str, ...]]] = {
    "forest": (forest, ("comparison",)),
    "depth_profile": (depth_profile, ("layers",)),
    "critical_depths": (critical_depths, ("critical_layers", "depths")),
    "behind": (behind, ("effects",)),
    "gap_and_effect": (gap_and_effect, ("transfer",)),
    "behaviour": (behaviour, ("effects",)),
    "confounds": (confounds, ("confounds", "baselines")),
    "patterns": (patterns, ("patterns",)),
}
"""Name → (how it is drawn, the tables that it cannot do without)."""


def figures(tables: Mapping[str, pd.DataFrame]) -> dict[str, go.Figure]:
    """Every figure; one whose table is absent or empty says so in its place."""
    drawn = {}
    for name, (draw, needed) in FIGURES.items():
        lacking = [table for table in needed if table not in tables or tables[table].empty]
        drawn[name] = (
            nothing(f"No figure “{name}”", f"the table {lacking[0]}.csv is absent or has no rows")
            if lacking
            else draw(tables)
        )
    return drawn

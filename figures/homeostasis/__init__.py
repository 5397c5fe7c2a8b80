"""Figures of the homeostasis analysis, in reading order."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.homeostasis.associations import associations
from figures.homeostasis.changes import change
from figures.homeostasis.contributions import contributions
from figures.homeostasis.mechanisms import mechanisms
from figures.homeostasis.pairs import pairs
from figures.homeostasis.recovery import recovery
from figures.homeostasis.texts import profile
from figures.homeostasis.timing import timing
from figures.homeostasis.verdicts import hypotheses
from figures.style import nothing

Draw = Callable[[Mapping[str, pd.DataFrame]], go.Figure]

FIGURES: Mapping[str, tuple[Draw, tuple[str, ...]]] = {
    "hypotheses": (hypotheses, ("hypotheses",)),
    "recovery": (recovery, ("recovery",)),
    "change": (change, ("recovery",)),
    "contributions": (contributions, ("mechanisms",)),
    "mechanisms": (mechanisms, ("layers",)),
    "associations": (associations, ("mechanisms",)),
    "timing": (timing, ("timing",)),
    "profile": (profile, ("profile",)),
    "pairs": (pairs, ("pairs",)),
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

"""Figures of the cross-architecture analysis, in reading order."""

import plotly.graph_objects as go

from figures.cross_architecture.behaviour import behaviour
from figures.cross_architecture.behind import behind
from figures.cross_architecture.confounds import confounds
from figures.cross_architecture.depths import critical_depths
from figures.cross_architecture.forest import forest
from figures.cross_architecture.patterns import patterns
from figures.cross_architecture.profile import depth_profile
from figures.cross_architecture.transfer import gap_and_effect
from figures.drawing import Gallery, Tables, draw_all

FIGURES: Gallery = {
    "forest": (forest, ("comparison",)),
    "depth_profile": (depth_profile, ("layers",)),
    "critical_depths": (critical_depths, ("critical_layers", "depths")),
    "behind": (behind, ("effects",)),
    "gap_and_effect": (gap_and_effect, ("transfer",)),
    "behaviour": (behaviour, ("effects",)),
    "confounds": (confounds, ("confounds", "baselines")),
    "patterns": (patterns, ("patterns",)),
}


def figures(tables: Tables) -> dict[str, go.Figure]:
    """Every figure, from the tables of a run."""
    return draw_all(FIGURES, tables)

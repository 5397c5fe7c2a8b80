"""Figures of the homeostasis analysis, in reading order."""

import plotly.graph_objects as go

from figures.drawing import Gallery, Tables, draw_all
from figures.homeostasis.associations import associations
from figures.homeostasis.changes import change
from figures.homeostasis.contributions import contributions
from figures.homeostasis.mechanisms import mechanisms
from figures.homeostasis.pairs import pairs
from figures.homeostasis.recovery import recovery
from figures.homeostasis.texts import profile
from figures.homeostasis.timing import timing
from figures.homeostasis.verdicts import hypotheses

FIGURES: Gallery = {
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


def figures(tables: Tables) -> dict[str, go.Figure]:
    """Every figure, from the tables of a run."""
    return draw_all(FIGURES, tables)

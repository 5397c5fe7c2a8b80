"""Figures of the refusal analysis, in reading order."""

import plotly.graph_objects as go

from figures.drawing import Gallery, Tables, draw_all
from figures.refusal.by_depth import by_depth
from figures.refusal.verdicts import verdicts

FIGURES: Gallery = {
    "verdicts": (verdicts, ("verdicts",)),
    "by_depth": (by_depth, ("conditions",)),
}


def figures(tables: Tables) -> dict[str, go.Figure]:
    """Every figure, from the tables of a run."""
    return draw_all(FIGURES, tables)

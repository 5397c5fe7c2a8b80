"""Figures of the separation analysis, in reading order."""

import plotly.graph_objects as go

from figures.alignment_quality.axioms import aqi_axiom_heatmap
from figures.alignment_quality.by_layer import by_layer
from figures.alignment_quality.differences import differences
from figures.alignment_quality.models import separation
from figures.alignment_quality.published import aqi_bar_plot
from figures.drawing import Gallery, Tables, draw_all

FIGURES: Gallery = {
    "separation": (separation, ("separation", "models")),
    "instruct_minus_base": (differences, ("differences",)),
    "by_layer": (by_layer, ("separation",)),
    "aqi_axiom_heatmap": (aqi_axiom_heatmap, ("separation",)),
    "aqi_bar_plot": (aqi_bar_plot, ("models", "published")),
}


def figures(tables: Tables) -> dict[str, go.Figure]:
    """Every figure, from the tables of a run."""
    return draw_all(FIGURES, tables)

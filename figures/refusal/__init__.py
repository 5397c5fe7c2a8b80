"""Figures of the refusal analysis, in reading order."""

import plotly.graph_objects as go

from figures.drawing import Gallery, Tables, draw_all
from figures.refusal.by_depth import by_depth
from figures.refusal.bypass import bypass
from figures.refusal.cosines import cosines
from figures.refusal.doses import dose_response
from figures.refusal.ratings import ratings
from figures.refusal.selection_map import selection_map
from figures.refusal.verdicts import verdicts

FIGURES: Gallery = {
    "verdicts": (verdicts, ("verdicts",)),
    "by_depth": (by_depth, ("conditions",)),
    "dose_response": (dose_response, ("conditions",)),
    "bypass": (bypass, ("bypass",)),
    "selection_map": (selection_map, ("selection",)),
    "cosines": (cosines, ("cosines",)),
}


def figures(tables: Tables) -> dict[str, go.Figure]:
    """Every figure, from the tables of a run; that of the ratings where somebody rated answers."""
    rated: Gallery = {"ratings": (ratings, ("ratings",))} if "ratings" in tables else {}
    return draw_all({**FIGURES, **rated}, tables)

"""Figures of the refusal analysis, in reading order."""

from collections.abc import Mapping

import plotly.graph_objects as go

from figures.drawing import Gallery, Tables, draw_all
from figures.refusal.agreement import agreement
from figures.refusal.by_depth import by_depth
from figures.refusal.bypass import bypass
from figures.refusal.cosines import cosines
from figures.refusal.decided import DECISIONS
from figures.refusal.doses import dose_response
from figures.refusal.precision import precision
from figures.refusal.precision_cosines import precision_cosines
from figures.refusal.ratings import ratings
from figures.refusal.selection_map import selection_map
from figures.refusal.size_curve import size_curve
from figures.refusal.size_doses import size_doses
from figures.refusal.verdicts import verdicts

FIGURES: Gallery = {
    "verdicts": (verdicts, ("verdicts",)),
    "agreement": (agreement, ("agreement",)),
    "by_depth": (by_depth, ("conditions",)),
    "dose_response": (dose_response, ("conditions",)),
    "bypass": (bypass, ("bypass",)),
    "selection_map": (selection_map, ("selection",)),
    "cosines": (cosines, ("cosines",)),
}
"""Of a run of `families`."""
SIZES: Gallery = {
    "size_curve": (size_curve, ("verdicts",)),
    "verdicts": FIGURES["verdicts"],
    "agreement": FIGURES["agreement"],
    "dose_response": (size_doses, ("conditions",)),
    "cosines": FIGURES["cosines"],
}
PRECISIONS: Gallery = {
    "precision": (precision, ("precision",)),
    "precision_cosines": (precision_cosines, ("precision_cosines",)),
    "dose_response": FIGURES["dose_response"],
}
OF_STEP: Mapping[str, Gallery] = {"curve": SIZES, "precision": PRECISIONS}
"""A table that only one step has → the figures of that step."""


def gallery(tables: Tables) -> Gallery:
    """The figures of the step that made these tables: those of other steps are not missing."""
    if set(tables) <= {DECISIONS}:  # gathered from several runs: nothing is drawn
        return {}
    found = next((OF_STEP[name] for name in OF_STEP if name in tables), FIGURES)
    rated: Gallery = {"ratings": (ratings, ("ratings",))} if "ratings" in tables else {}
    return {**found, **rated}


def figures(tables: Tables) -> dict[str, go.Figure]:
    """Every figure, from the tables of a run; that of the ratings where somebody rated answers."""
    return draw_all(gallery(tables), tables)

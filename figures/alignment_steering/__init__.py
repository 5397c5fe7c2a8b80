"""Figures of the steering analysis, in reading order; each step has its own."""

from collections.abc import Mapping

import plotly.graph_objects as go

from figures.alignment_steering.behaviour import (
    behaviour,
    compliance,
    neutral,
    preference,
    separation,
)
from figures.alignment_steering.by_layer import cosines, norms
from figures.alignment_steering.dimensions import dimensions
from figures.alignment_steering.ranking import ranking
from figures.alignment_steering.transfer import transfer_cosines, transfer_matrix
from figures.alignment_steering.variance import variance
from figures.drawing import Gallery, Tables, draw_all

EXTRACT: Gallery = {
    "cosines": (cosines, ("layers",)),
    "norms": (norms, ("layers",)),
    "variance": (variance, ("variance",)),
    "ranking": (ranking, ("ranking",)),
    "dimensions": (dimensions, ("pairs",)),
}
TRANSFER: Gallery = {
    "transfer_matrix": (transfer_matrix, ("transfer",)),
    "transfer_cosines": (transfer_cosines, ("transfer_cosines",)),
}
VALIDATE: Gallery = {
    "behaviour": (behaviour, ("conditions", "effects")),
    "compliance": (compliance, ("conditions", "effects")),
    "preference": (preference, ("conditions", "effects")),
    "neutral": (neutral, ("conditions", "effects")),
    "separation": (separation, ("conditions", "effects")),
    "ranking": EXTRACT["ranking"],
}
OF_STEP: Mapping[str, Gallery] = {"capability": VALIDATE, "variance": EXTRACT, "transfer": TRANSFER}
"""A table that only one step has → the figures of that step."""


def gallery(tables: Tables) -> Gallery:
    """The figures of the step that made these tables: those of other steps are not missing."""
    return next((OF_STEP[name] for name in OF_STEP if name in tables), EXTRACT)


def figures(tables: Tables) -> dict[str, go.Figure]:
    """Every figure of the step, from its tables."""
    return draw_all(gallery(tables), tables)

"""Figures of the model diff, in reading order."""

from collections.abc import Mapping

import plotly.graph_objects as go

from figures.drawing import Gallery, Tables, draw_all
from figures.model_diff import similarity
from figures.model_diff.calibrate import ratings
from figures.model_diff.combine import combinations, over_single
from figures.model_diff.steer import effects, trait_and_coherence
from figures.model_diff.vectors import accuracy, agreement, lengths
from figures.model_diff.weights import alignment, lens, norms
from figures.model_diff.whole import phases

EXTRACT: Gallery = {
    "accuracy": (accuracy, ("vectors",)),
    "agreement": (agreement, ("cosines",)),
    "lengths": (lengths, ("vectors",)),
}
WEIGHTS: Gallery = {
    "norms": (norms, ("norms",)),
    "lens": (lens, ("directions",)),
    "alignment": (alignment, ("alignment",)),
}
STEER: Gallery = {
    "trait_and_coherence": (trait_and_coherence, ("doses",)),
    "effects": (effects, ("effects",)),
}
WHOLE: Gallery = {"phases": (phases, ("phases",))}
COMBINE: Gallery = {
    "combinations": (combinations, ("combinations",)),
    "over_single": (over_single, ("strategies",)),
}
SIMILARITY: Gallery = {
    "layers": (similarity.layers, ("similarity",)),
    "positions": (similarity.positions, ("positions",)),
    "transfer": (similarity.transfer, ("transfer", "similarity")),
}
CALIBRATE: Gallery = {"ratings": (ratings, ("ratings",))}
OF_STEP: Mapping[str, Gallery] = {
    "calibration": CALIBRATE,
    "similarity": SIMILARITY,
    "combinations": COMBINE,
    "hypotheses": WHOLE,
    "vectors": EXTRACT,
    "norms": WEIGHTS,
    "doses": STEER,
}
"""A table that only one step has → the figures of that step."""


def figures(tables: Tables) -> dict[str, go.Figure]:
    """Every figure of the step, from its tables."""
    return draw_all(next((OF_STEP[name] for name in OF_STEP if name in tables), EXTRACT), tables)

"""The names, colours and order of conditions and components, the same in every figure.

Solid lines: the donor's values, with something held at its unpatched value. Dotted: everything
held but one component. Dashed: another kind of perturbation. Grey: software checks.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Look,
    plain,
)

MARGIN = 0.1
"""Recovery too small to matter: the analysis's own margin for "equivalent to none"."""

LOOKS: Mapping[str, Look] = {
    "patched": Look("patched: self-observing donor", BLUE, width=2.8),
    "passive": Look("passive: no block answers", BLACK, symbol="square", width=2.4),
    "freeze_mlp": Look("freeze_mlp: MLPs held", ORANGE, symbol="triangle-up"),
    "freeze_attention": Look("freeze_attention: attention held", SKY, symbol="diamond"),
    "freeze_pattern": Look("freeze_pattern: pattern held", GREEN, symbol="triangle-down"),
    "freeze_norm": Look("freeze_norm: norm scales held", PURPLE, symbol="pentagon"),
    "release_mlp": Look("release_mlp: only MLPs answer", ORANGE, "dot", "triangle-up"),
    "release_attention": Look("release_attention: only attention", SKY, "dot", "diamond"),
    "other_plain": Look("other_plain: plain donor", BLACK, "dash", "hexagon"),
    "reverse": Look("reverse: plain into self-observing", ORANGE, "dash", "star"),
    "gaussian": Look("gaussian: noise, donor's norms", GREEN, "dash", "cross"),
    "mean_only": Look("mean_only: shift of the mean", PURPLE, "dash", "hexagram"),
    "random_residual": Look("random_residual: random push", VERMILLION, "dash", "x"),
    "self": Look("self: own values (check)", GREY, "dot", "circle"),
    "shuffled_rows": Look("shuffled_rows: reordered (check)", GREY, "dash", "square"),
}

COMPONENTS: Mapping[str, tuple[str, Look]] = {
    "mlp": ("MLPs", LOOKS["freeze_mlp"]),
    "attention": ("Attention", LOOKS["freeze_attention"]),
    "pattern": ("Attention pattern", LOOKS["freeze_pattern"]),
    "norm": ("Scales of the norms", LOOKS["freeze_norm"]),
}


def look(condition: str) -> Look:
    """A condition that this page does not know is drawn in grey under its own name."""
    return LOOKS.get(condition, Look(plain(condition), GREY, "dashdot"))


def coupled(table: pd.DataFrame) -> str:
    """Why n is smaller for one condition, to be put behind n."""
    if "other_plain" not in set(table["condition"]):
        return ""
    return "; other_plain counts couples, for two pairs lend each other their plain texts"


def margin_band(figure: go.Figure, *, vertical: bool = False, **where: Any) -> None:
    """Shades ± the margin around "no effect"."""
    ends = {"x0": -MARGIN, "x1": MARGIN} if vertical else {"y0": -MARGIN, "y1": MARGIN}
    add: Any = figure.add_vrect if vertical else figure.add_hrect
    add(**ends, fillcolor=LIGHT, line_width=0, layer="below", exclude_empty_subplots=False, **where)

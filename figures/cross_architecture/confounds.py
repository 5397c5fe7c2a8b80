"""How much of the gap is length, repetition and perplexity, and how much words alone tell."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.dots import upright
from figures.cross_architecture.groups import add_groups, group_height, group_notes
from figures.cross_architecture.looks import looks, share
from figures.marks import beyond_notes, padded_range
from figures.rows import n_range, select, values_of, where
from figures.style import SMALL, finish, grid, number, plain, wrap

_GIVEN = {
    "as it is": "as it is",
    "given tokens": "given the number<br>of tokens",
    "given distinct_tokens": "given the share of<br>distinct tokens",
    "given nll": "given the log<br>perplexity",
    "given all three": "given all three",
    "matched texts": "in matched texts<br>(n differs)",
}
_R_V = "R_V at the critical layer"
_WIDEST = 3.0
"""Gaps are drawn within ± this much g."""


def confounds(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Left the gap, freed of what else differs; right how well single scores tell the kinds."""
    gap, areas = select(tables["confounds"], about="gap"), tables["baselines"]
    given = {c: _GIVEN.get(c, wrap(plain(c), 20)) for c in _ordered(gap)}
    scores = {s: wrap(plain(s), 20) for s in values_of(areas, "score")}
    height = group_height(areas, max(len(given), len(scores)), step=13)
    titles = ["Gap of log R_V", "Telling the kinds of text apart"]
    figure = grid(1, 2, titles, height=height, gaps=(0.2, 0.1))
    upright(figure, 0, col=1)
    upright(figure, 0.5, col=2)
    every = looks(tables)
    add_groups(figure, gap, "comparison", given, every, "gap in spreads", col=1)
    add_groups(figure, areas, "score", scores, every, "AUROC", col=2, legend=gap.empty)
    ends = padded_range(gap, 0, within=_WIDEST)
    figure.update_xaxes(range=ends, title_text="in spreads within a kind (as g)", col=1)
    figure.update_xaxes(range=_area_range(areas), title_text="AUROC (0.5: by chance)", col=2)
    figure.update_yaxes(tickfont_size=SMALL)
    caption = (
        f"At each model's critical layer, texts that chose nothing (n = {n_range(gap)}). Left: the "
        "gap as it is and in matched texts (Hedges g, 95 % BCa bootstrap interval over texts), "
        "and beside covariates (regression, 95 % HC3 interval), in the same unit. Right: area "
        "under the ROC curve of single scores, 95 % BCa interval over texts; signs, and the "
        f"classifier of words, come from the other half of the prompts (n = {n_range(areas)}). "
        "Nothing is corrected for the number of models. No row matches the wording: where words "
        "tell the kinds apart, a gap of R_V can be a gap of wording."
    )
    return finish(figure, _title(gap, areas), caption, _notes(gap, areas, ends))


def _ordered(gap: pd.DataFrame) -> list[str]:
    present = values_of(gap, "comparison")
    return [c for c in _GIVEN if c in present] + [c for c in present if c not in _GIVEN]


def _area_range(areas: pd.DataFrame) -> list[float]:
    low, high = padded_range(areas, 0.5, 1.0)
    return [max(low, -0.03), min(high, 1.03)]


def _notes(gap: pd.DataFrame, areas: pd.DataFrame, ends: list[float]) -> list[str]:
    given = {c: _GIVEN.get(c, plain(c)) for c in _ordered(gap)}
    scores = {s: plain(s) for s in values_of(areas, "score")}
    notes = group_notes(gap, "comparison", given, "gap")
    names = zip(gap["model"], gap["comparison"], strict=True)
    placed = gap.assign(place=[f"{plain(model)}, {plain(what)}" for model, what in names])
    notes += beyond_notes(placed, ends, "place", "its ends are in confounds.csv")
    return notes + group_notes(areas, "score", scores, "AUROC")


def _title(gap: pd.DataFrame, areas: pd.DataFrame) -> str:
    parts = [
        f"{share(select(gap, comparison=name))} {words}"
        for name, words in (
            ("as it is", "models as it is"),
            ("given all three", "given length, repetition and perplexity"),
            ("matched texts", "in matched texts"),
        )
        if name in values_of(gap, "comparison")
    ]
    text = f"The gap excludes 0 in {', '.join(parts)}" if parts else "Scores of texts"
    own, other = (where(areas, (areas["score"] == _R_V) == flag) for flag in (True, False))
    best = [sorted(values_of(t.dropna(subset=["estimate"]), "estimate")) for t in (own, other)]
    if not all(best):
        return text
    r_v, words = (number(values[-1], 2) for values in best)
    return f"{text}; R_V tells the kinds apart with AUROC {r_v} at best, other scores with {words}"

"""Cosines and lengths over the layers: one panel a pair of models."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from figures.alignment_steering.notes import failed_notes
from figures.marks import add_line, layer_axis, level_line, padded_range
from figures.refusal.panels import Panels, panels, title_lines
from figures.rows import n_range, select, values_of
from figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILLION, Look, decimal, finish

Line = tuple[str, str, Look]
"""Quantity, data, look."""
COSINES: Sequence[Line] = (
    ("cosine_of_means", "chosen", Look("mean states, chosen answers", BLUE)),
    ("cosine_of_means", "rejected", Look("mean states, rejected", VERMILLION, "dash")),
    ("mean_cosine", "chosen", Look("mean over texts, chosen", BLACK, "dot")),
    ("halves_cosine", "chosen", Look("differences of two halves", GREEN, symbol="square")),
    ("coherence_across", "chosen", Look("a text with the other half", ORANGE, symbol="diamond")),
    ("coherence_chance", "chosen", Look("a text with its own mean, by chance", GREY, "dot")),
)
NORMS: Sequence[Line] = (
    ("norm", "chosen", Look("on chosen answers", BLUE)),
    ("norm", "rejected", Look("on rejected answers", VERMILLION, "dash")),
    ("instruct_preference_norm", "both", Look("chosen − rejected, instruct", GREEN, "dot")),
    ("base_preference_norm", "both", Look("chosen − rejected, base", GREY, "dot")),
)


def cosines(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """How far tuning moved the states, and whether it moved them all alike."""
    table = tables["layers"]
    place = _lines(table, COSINES, (0.0, 1.0), band=True)
    of_means = select(table, quantity="cosine_of_means", data="chosen", status="ok")
    halves = select(table, quantity="halves_cosine", status="ok")
    title = (
        f"Base and instruct states: cosine of means {_span(of_means)} over pairs and layers; two "
        f"halves of the texts agree on the shift with cosine {_span(halves)}"
    )
    caption = (
        "Last token of each answer, output of every block; bands are 95 % BCa intervals over "
        f"prompts (n = {n_range(of_means)}). Blue and red: cosine of the two models' mean states, "
        "as published; black: mean cosine of single texts. Green: cosine of the mean differences "
        "of two halves of the texts (1: one shift; 0: noise). Orange: a text's difference and the "
        "mean of the other half; grey: what a difference has in common with a mean that it is part "
        "of, if its sign is random."
    )
    return _finished(place, title, caption, tables)


def norms(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Lengths of the vectors."""
    table = tables["layers"]
    place = _lines(table, NORMS, (0.0,))
    mine = select(table, quantity="norm", data="chosen", status="ok")
    names = values_of(mine, "model")
    at_end = sum(_longest_at_end(select(mine, model=name)) for name in names)
    title = f"The mean difference is longest at the last layer in {at_end} of {len(names)} pairs"
    caption = (
        "Length of instruct − base, mean over texts, at every block's output. The svd vector is "
        "not drawn: it has the length of the mean on chosen answers by construction. Noise has a "
        "length too. Dotted: chosen − rejected answers within each model."
    )
    return _finished(place, title, caption, tables)


def _longest_at_end(rows: pd.DataFrame) -> bool:
    ordered = rows.sort_values("layer")["estimate"].to_numpy(float)
    return bool(ordered.argmax() == len(ordered) - 1)


def _lines(
    table: pd.DataFrame, lines: Sequence[Line], include: tuple[float, ...], band: bool = False
) -> Panels:
    names = values_of(table, "model")
    place = panels([str(name) for name in names], 2, 210)
    for k, name in enumerate(names):
        row, col = place.at[k]
        mine = select(table, model=name)
        for level in include:
            level_line(place.figure, level, row=row, col=col)
        drawn = [select(mine, quantity=quantity, data=data) for quantity, data, _ in lines]
        for rows, (_, _, look) in zip(drawn, lines, strict=True):
            if len(rows):
                add_line(
                    place.figure, rows, look, look.label,
                    row=row, col=col, band=band, legend=k == 0,
                )  # fmt: skip
        layer_axis(place.figure, mine, row=row, col=col, most=5)
        shown = pd.concat(drawn)
        place.figure.update_yaxes(range=padded_range(shown, *include), row=row, col=col)
    return place


def _finished(
    place: Panels, title: str, caption: str, tables: Mapping[str, pd.DataFrame]
) -> go.Figure:
    place.figure.update_traces(marker_size=4, selector={"mode": "lines+markers"})
    return finish(
        place.figure, title, caption, failed_notes(tables), room=title_lines(place.figure)
    )


def _span(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "undefined"
    found = rows["estimate"].to_numpy(float)
    return f"{decimal(found.min(), 2)} to {decimal(found.max(), 2)}"

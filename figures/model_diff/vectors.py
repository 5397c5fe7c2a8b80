"""Trait vectors over the layers: how well they tell held-out scenarios apart, and how alike."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from figures.marks import add_line, layer_axis, level_line, numbers
from figures.refusal.panels import Panels, panels, title_lines
from figures.rows import n_range, records, select, values_of
from figures.style import (
    BLUE,
    DIVERGING,
    GREY,
    SMALL,
    VERMILLION,
    Look,
    decimal,
    finish,
    grid,
    plain,
    wrap,
)

METHODS = {
    "mean_diff": Look("difference of means", BLUE),
    "probe": Look("probe", VERMILLION, "dash", "square"),
}
CHANCE = Look("labels shuffled inside groups", GREY, "dot")
CLEAR = 0.9


def accuracy(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Held-out accuracy, beside the same with labels that mean nothing."""
    table = select(tables["vectors"], status="ok")
    place, sets = _panels(table)
    clear = 0
    for k, (source, position) in enumerate(sets):
        row, col = place.at[k]
        level_line(place.figure, 0.5, row=row, col=col)
        level_line(place.figure, 1.0, row=row, col=col)
        for method, look in METHODS.items():
            mine = select(table, source=source, position=position, method=method)
            if mine.empty:
                continue
            clear += int((mine["accuracy_low"].to_numpy(float) >= CLEAR).any())
            _rate(place, k, mine, look, "accuracy", band=True)
            if method == "mean_diff":
                _rate(place, k, mine, CHANCE, "shuffled_accuracy", band=False)
        layer_axis(place.figure, select(table, source=source, position=position),
                   row=row, col=col, most=5)  # fmt: skip
        place.figure.update_yaxes(range=[-0.04, 1.06], row=row, col=col)
    n_sets = len(table.drop_duplicates(["source", "position", "method"]))
    title = (
        f"Held-out scenarios are told apart with an accuracy above {CLEAR} (whole interval) at "
        f"some layer in {clear} of {n_sets} sets of vectors"
    )
    caption = (
        "Mean of the two sides' hit rates on scenarios that the direction was not made of, in five "
        "folds that keep a group of scenarios together; bands: 95 % intervals over groups (n = "
        f"{n_range(table.assign(n=table['groups']))}). Dotted: difference of means made of labels "
        "that were shuffled inside groups. Whatever else differs between the sides counts as well."
    )
    return _finished(place, tables, title, caption)


def _rate(place: Panels, k: int, rows: pd.DataFrame, look: Look, name: str, *, band: bool) -> None:
    row, col = place.at[k]
    ends = {"estimate": name, "low": f"{name}_low", "high": f"{name}_high"}
    cells = rows.assign(**{k: rows[column].astype(float) for k, column in ends.items()})
    add_line(place.figure, cells, look, "accuracy", row=row, col=col, band=band, legend=k == 0)
    if not band:
        place.figure.data[-1].error_y = None


def lengths(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """How long the difference of means is, in shares of the residual stream's length."""
    table = select(tables["vectors"], status="ok", method="mean_diff")
    place, sets = _panels(table)
    shares = (table["norm"] / table["residual_norm"]).to_numpy(float)
    for k, (source, position) in enumerate(sets):
        row, col = place.at[k]
        mine = select(table, source=source, position=position)
        share = (mine["norm"] / mine["residual_norm"]).astype(float)
        cells = mine.assign(estimate=share, low=np.nan, high=np.nan, reason="no interval is made")
        place.figure.add_scatter(
            x=mine["layer"].tolist(), y=numbers(cells["estimate"]), mode="lines+markers",
            line={"color": BLUE}, marker={"size": 4}, showlegend=False, row=row, col=col,
        )  # fmt: skip
        layer_axis(place.figure, mine, row=row, col=col, most=5)
        place.figure.update_yaxes(range=[0, 1.1 * float(shares.max())], row=row, col=col)
    title = (
        f"The difference of means is {decimal(100 * shares.min(), 0)} to "
        f"{decimal(100 * shares.max(), 0)} % as long as the residual stream where it was read"
    )
    caption = (
        "Length of μ₊ − μ₋ over the mean length of the states at the span's tokens, by layer. "
        "A steering dose is stated in the same share. Noise has a length too."
    )
    return _finished(place, tables, title, caption)


def agreement(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Cosine between every two sets of vectors, mean over layers."""
    table = tables["cosines"]
    names = list(dict.fromkeys([*values_of(table, "a"), *values_of(table, "b")]))
    grid_of = np.eye(len(names))
    texts = np.full(grid_of.shape, "", object)
    found = alike(table)
    for (a, b), (mean, low, high) in found.items():
        for i, j in ((names.index(a), names.index(b)), (names.index(b), names.index(a))):
            grid_of[i, j] = mean
            texts[i, j] = f"{decimal(mean, 2)}<br>{decimal(low, 2)} to {decimal(high, 2)}"
    shown = [wrap(plain(name), 16) for name in names]
    figure = grid(height=150 + 58 * len(names))
    figure.add_heatmap(
        x=shown, y=shown, z=grid_of.tolist(), text=texts.tolist(), texttemplate="%{text}",
        textfont={"size": SMALL, "color": "#111111"}, zmin=-1, zmax=1, showscale=False,
        colorscale=[[0.0, "#9CC7E4"], DIVERGING[1], [1.0, "#F2B48A"]],
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False)
    means = [mean for mean, *_ in found.values()]
    title = (
        f"Sets of vectors of one trait have cosines of {decimal(min(means), 2)} to "
        f"{decimal(max(means), 2)} with each other"
    )
    caption = (
        "Cosine, mean over layers, with the lowest and the highest layer below. Vectors of one "
        "source share their responses; base and instruct model are different models. Two random "
        "directions have a cosine of 0 give or take 1/√d."
    )
    return finish(figure, title, caption)


def alike(table: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Two sets → mean, lowest and highest cosine over layers."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in records(table):
        found.setdefault((row["a"], row["b"]), []).append(row["cosine"])
    return {pair: (float(np.mean(c)), min(c), max(c)) for pair, c in found.items()}


def _panels(table: pd.DataFrame) -> tuple[Panels, list[tuple[str, str]]]:
    sets = list(dict.fromkeys(zip(table["source"], table["position"], strict=True)))
    return panels([f"{source}, {position}" for source, position in sets], 2, 200, gap=96), sets


def _finished(
    place: Panels, tables: Mapping[str, pd.DataFrame], title: str, caption: str
) -> go.Figure:
    place.figure.update_traces(marker_size=4, selector={"mode": "lines+markers"})
    missing = tables.get("missing")
    notes = [
        f"not measured: {plain(row['id'])}: {plain(row['reason'])}"
        for row in ([] if missing is None or missing.empty else records(missing))
    ]
    return finish(place.figure, title, caption, notes, room=title_lines(place.figure))

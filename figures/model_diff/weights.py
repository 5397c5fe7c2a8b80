"""What tuning changed in weights: how much, in which words, and along which traits."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from figures.marks import numbers
from figures.refusal.panels import panels, title_lines
from figures.rows import records, select, values_of, where
from figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILLION,
    Look,
    decimal,
    finish,
    grid,
    nothing,
)

KINDS = {
    "mean_column": Look("mean column, as published", GREY, "dot"),
    "o 0": Look("first singular direction of Δo", BLUE),
    "down 0": Look("of Δdown", VERMILLION, "dash", "square"),
    "o applied": Look("Δo applied to mean activations", SKY, symbol="diamond"),
    "down applied": Look("Δdown applied to them", ORANGE, "dash", "diamond"),
    "applied": Look("both, what the layer adds", BLACK, symbol="cross"),
}


COLOURS = (BLUE, VERMILLION, ORANGE, BLACK, SKY, GREY)
"""Of sources and positions; a probe is dotted."""


def _place(name: object) -> str:
    return str(name).rpartition(" ")[0]


def norms(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Relative change of every matrix, layer by layer."""
    table = tables["norms"]
    inside = where(table, table["layer"].notna() & table["relative"].notna())
    names = [str(name) for name in values_of(inside, "component")]
    layers = sorted({int(layer) for layer in inside["layer"]})
    cells = np.full((len(names), len(layers)), np.nan)
    for row in records(inside):
        at = names.index(row["component"]), layers.index(int(row["layer"]))
        cells[at] = 100 * row["relative"]
    figure = grid(height=150 + 26 * len(names))
    figure.add_heatmap(
        x=layers, y=names, z=[numbers(line) for line in cells],
        colorscale=[[0, "#FFFFFF"], [1, BLUE]], zmin=0, colorbar={"title": "%", "thickness": 12},
        hovertemplate="layer %{x}, %{y}: %{z:.1f} %<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(title_text="layer", showgrid=False)
    middle = records(tables["middle"])[0] if len(tables["middle"]) else {}
    title = "What tuning changed, in per cent of each matrix's own norm"
    if "uniform" in middle:
        title = (
            f"The middle third of the layers holds {decimal(100 * middle['estimate'], 1)} % of the "
            f"squared change; an even change would have {decimal(100 * middle['uniform'], 1)} %"
        )
        for edge in (middle["first_layer"], middle["end_layer"]):
            figure.add_vline(x=edge - 0.5, line={"color": BLACK, "dash": "dash", "width": 1.2})
    caption = (
        "Frobenius norm of the difference over the base matrix's own, layer by layer. Vectors "
        "(norms, biases) are among the components. The share in the title is of the matrices' "
        "squared norms, not of these per cents; dashed lines bound the middle third."
    )
    return finish(figure, title, caption)


def lens(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """How far the words of each direction stand out."""
    table = select(tables["directions"], status="ok", kind=tuple(KINDS))
    if table.empty:
        return nothing("No figure “lens”", "no layer has a direction that could be read")
    figure = grid(height=380)
    for kind, look in KINDS.items():
        rows = select(table, kind=kind).sort_values("layer")
        if rows.empty:
            continue
        figure.add_scatter(
            x=rows["layer"].tolist(), y=numbers(rows["peak"]), mode="lines+markers",
            name=look.label, line={"color": look.colour, "dash": look.dash},
            marker={"symbol": look.symbol, "size": 5, "color": look.colour},
        )  # fmt: skip
    level = float(table["chance_peak"].to_numpy(float)[0])
    figure.add_hline(y=level, line={"color": GREEN, "dash": "dash", "width": 1.5})
    figure.update_xaxes(title_text="layer")
    figure.update_yaxes(title_text="peak, standard deviations")
    loud = int((table["p_peak"].to_numpy(float) < 0.05).sum())
    title = (
        f"Words of {loud} of these {len(table)} directions stand out more than those of 95 % of "
        f"random ones (about {0.05 * len(table):.0f} by chance)"
    )
    caption = (
        "Logit lens: largest |logit| of a direction through the base model's final norm and output "
        "matrix, in standard deviations over the vocabulary. Green: 95 % of random directions stay "
        "below it. Every direction has a top 20; only what is above the line can mean something. "
        "Further singular directions are in directions.csv."
    )
    return finish(figure, title, caption)


def alignment(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Cosines with trait vectors, one panel a kind of direction."""
    table = tables["alignment"]
    kinds = [kind for kind in KINDS if kind in values_of(table, "kind")]
    place = panels([KINDS[kind].label for kind in kinds], 1, 170)
    sd = float(table["sd"].to_numpy(float)[0])
    for k, kind in enumerate(kinds):
        row, col = place.at[k]
        mine = select(table, kind=kind)
        places_of = list(dict.fromkeys(_place(name) for name in values_of(mine, "set")))
        for name in values_of(mine, "set"):
            rows = select(mine, set=name).sort_values("layer")
            colour = COLOURS[places_of.index(_place(name)) % len(COLOURS)]
            dash = "dot" if str(name).endswith(" probe") else "solid"
            place.figure.add_scatter(
                x=rows["layer"].tolist(), y=numbers(rows["cosine"]), mode="lines",
                name=str(name), legendgroup=str(name), showlegend=k == 0,
                line={"width": 1.4, "color": colour, "dash": dash}, row=row, col=col,
            )  # fmt: skip
        # Plotly draws no such line in a panel that is still empty.
        for edge in (-2 * sd, 2 * sd):
            place.figure.add_hline(
                y=edge, line={"color": GREEN, "dash": "dash", "width": 1},
                row=row,  # type: ignore[arg-type]  # plotly's stub knows only "all"
                col=col,  # type: ignore[arg-type] # int or "all"
            )  # fmt: skip
        place.figure.update_yaxes(title_text="cosine", row=row, col=col)
    place.figure.update_xaxes(title_text="layer", row=place.at[-1][0], col=1)
    clear = int((table["p_adjusted"].to_numpy(float) < 0.05).sum())
    title = (
        f"Directions of the change lie along a trait vector more than random ones in {clear} of "
        f"{len(table)} places (layer, direction, set of vectors)"
    )
    caption = (
        "Cosine of each layer's direction with the trait vector of the same layer's output. Green: "
        "two standard deviations of a random direction's cosine (1/√d each). Counted are places "
        "with p < 0.05 after Benjamini–Hochberg over all of them. The sign of a singular direction "
        "is arbitrary."
    )
    return finish(place.figure, title, caption, room=title_lines(place.figure))

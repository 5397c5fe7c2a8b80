"""How deep and how wide the models are: what a vector would have to be carried across."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.alignment_steering.notes import failed_notes
from figures.marks import numbers
from figures.rows import select, values_of
from figures.style import BLUE, GREEN, finish, grid, nothing, plain, wrap


def dimensions(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    table = select(tables["pairs"], status="ok")
    if table.empty:
        return nothing("No figure “dimensions”", "no pair was measured")
    figure = grid(1, 2, ("layers", "width of the residual stream"), height=380)
    names = [wrap(plain(name), 16) for name in table["model"].tolist()]
    for col, (column, colour) in enumerate((("n_layers", BLUE), ("d_model", GREEN)), start=1):
        values = numbers(table[column])
        figure.add_bar(
            x=names,
            y=values,
            text=[f"{v:.0f}" for v in values if v is not None],
            marker_color=colour,
            name=column,
            showlegend=False,
            row=1,
            col=col,
        )
    depths, widths = (len(values_of(table, c)) for c in ("n_layers", "d_model"))
    title = f"{len(table)} pairs have {depths} different depths and {widths} different widths"
    caption = (
        "A vector of one model can be added to another as it is only where both numbers agree; "
        "even then the axes of the two streams mean different things."
    )
    return finish(figure, title, caption, failed_notes(tables))

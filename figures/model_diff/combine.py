"""Combinations of two sources beside the best vector of one."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from figures.marks import bars, level_line, numbers, padded_range
from figures.rows import count, n_range, records, select
from figures.style import BLUE, GREY, VERMILLION, finish, grid, nothing, plain, wrap

SIDES = {
    "change": ("over unsteered", GREY),
    "over_random": ("over random vectors put together alike", BLUE),
}


def combinations(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Change of the trait on test questions, left of single vectors, right of combinations."""
    table = tables["combinations"]
    if table.empty:
        reasons = [f"{row['id']}: {row['reason']}" for row in records(tables["missing"])]
        return nothing("No combination was measured", "; ".join(reasons))
    figure = _points(420)
    for quantity, (label, colour) in SIDES.items():
        rows = select(table, quantity=quantity)
        _add(figure, [wrap(plain(name), 14) for name in rows["configuration"].tolist()], rows,
             colour, label)  # fmt: skip
    verdicts = tables["strategies"]
    better = count(verdicts["verdict"] == "higher") if len(verdicts) else 0
    title = (
        f"{better} of {len(verdicts)} distinct ways to put two vectors together do clearly better "
        "than the best single one"
    )
    caption = (
        "Difference of mean ratings of answers to test questions, 95 % intervals over subjects "
        f"(n = {n_range(table)} questions), at the dose that validation questions chose. "
        + "; ".join(f"{row['configuration']}: {row['note']}" for row in records(rows_of(table)))
        + "."
    )
    return finish(figure, title, caption)


def over_single(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """H3: each distinct strategy minus the best single vector, with the margin of equivalence."""
    table = tables["strategies"]
    if table.empty:
        return nothing("No strategy was compared", "no strategy had a coherent dose")
    margin = float(table["margin"].iloc[0])
    figure = _points(380)
    _add(figure, [str(name) for name in table["strategy"]], table, VERMILLION)
    # Plotly draws no such band in a panel that is still empty.
    figure.add_hrect(y0=-margin, y1=margin, fillcolor=GREY, opacity=0.15, line_width=0)
    figure.update_yaxes(range=padded_range(table, -margin, margin))
    said = ", ".join(f"{row['strategy']} {row['verdict']}" for row in records(table))
    caption = (
        f"Trait on test questions minus that of the {str(table['over'].iloc[0]).lower()}, paired, "
        f"95 % intervals over subjects (n = {n_range(table)} questions). Band: ±{margin:g} points, "
        "within which a 90 % interval counts as equivalent."
    )
    return finish(figure, f"Beside the best single vector: {said}", caption)


def _points(height: int) -> go.Figure:
    figure = grid(height=height)
    level_line(figure, 0.0)
    figure.update_yaxes(title_text="points of the trait rating")
    figure.update_layout(scattermode="group", scattergap=0.7)
    return figure


def _add(
    figure: go.Figure, x: Sequence[str], rows: pd.DataFrame, colour: str, label: str = ""
) -> None:
    """Estimates with their intervals; without a label there is no legend."""
    figure.add_scatter(
        x=x, y=numbers(rows["estimate"]), error_y=bars(rows, colour), mode="markers",
        marker={"color": colour, "size": 9}, name=label, showlegend=bool(label),
        offsetgroup=label,
    )  # fmt: skip


def rows_of(table: pd.DataFrame) -> pd.DataFrame:
    return select(table, quantity="change")

"""What people call the answers that the judge labelled, where somebody rated them."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.refusal.looks import percent
from figures.rows import absent, count, records, select
from figures.style import finish, grid

LABELS = ("coherent", "garbled", "normal")
_PALE = [[0.0, "#FFFFFF"], [1.0, "#7FB8DA"]]
"""Blue so light at its end that black numbers are read on it."""


def ratings(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Judge × human, as numbers of answers."""
    table = tables["ratings"]
    cells = {(h, j): len(select(table, human=h, judge=j)) for h in LABELS for j in LABELS}
    figure = grid(height=380)
    counts = [[cells[human, judge] for judge in LABELS] for human in LABELS]
    figure.add_heatmap(
        x=[f"judge: {label}" for label in LABELS],
        y=[f"human: {label}" for label in LABELS],
        z=counts,
        text=counts,
        texttemplate="%{text}",
        textfont={"size": 16, "color": "#000000"},
        colorscale=_PALE,
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{y}, %{x}: %{z} answers<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False)
    return finish(figure, _title(table, tables.get("rating_agreement")), _caption(), _wrong(table))


def _title(table: pd.DataFrame, agreed: pd.DataFrame | None) -> str:
    same = count(table["human"] == table["judge"])
    text = f"Person and judge agree on {same} of {len(table)} answers ({percent(same / len(table))}"
    rows = [] if agreed is None else records(select(agreed, what="all"))
    if not rows or absent(rows[0]["kappa"]):
        return f"{text}; kappa undefined)"
    low, high = rows[0]["kappa_low"], rows[0]["kappa_high"]
    span = ", interval missing" if absent(low) else f" [{low:.2f}, {high:.2f}]"
    return f"{text}; kappa {rows[0]['kappa']:.2f}{span})"


def _wrong(table: pd.DataFrame) -> list[str]:
    """The mistake that matters: what the judge counts as a refusal and a person does not."""
    called = select(table, judge="coherent")
    other = count(called["human"] != "coherent")
    return [
        f"of {len(called)} answers that count as coherent refusals, {other} are none to a person"
    ]


def _caption() -> str:
    return (
        "Answers that a person rated on the report's sheet, all conditions together; the table "
        "rating_agreement has them one by one. Kappa: 0 is what chance would give, 1 is always the "
        "same label; 95 % bootstrap interval over prompts, in brackets. The sheet holds only "
        "answers of conditions that work, so this speaks of the judge there, not elsewhere."
    )

"""A judge's ratings beside the rule's."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.marks import numbers
from figures.refusal.panels import panels, say, title_lines
from figures.rows import select, values_of, where
from figures.style import BLUE, VERMILLION, decimal, finish

LOOKS = {"instruction": BLUE, "natural": VERMILLION}


def ratings(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel for the trait and one for coherence, a box a rating of the rule and source."""
    table = tables["ratings"]
    place = panels(["trait", "coherence"], 2, 300)
    for k, what in enumerate(("trait", "coherence")):
        row, col = place.at[k]
        rated = where(table, table[what].notna() & table[f"{what}_rule"].notna())
        if rated.empty:
            say(place, k, "the judge rated nothing")
            continue
        for source in values_of(rated, "source"):
            mine = select(rated, source=source)
            place.figure.add_box(
                x=[f"{value:.0f}" for value in mine[f"{what}_rule"].tolist()],
                y=numbers(mine[what]), name=str(source), legendgroup=str(source),
                showlegend=k == 0, boxpoints="all", jitter=0.4, pointpos=0,
                marker={"color": LOOKS.get(str(source)), "size": 4, "opacity": 0.6},
                line={"width": 1.2}, row=row, col=col,
            )  # fmt: skip
        place.figure.update_xaxes(
            title_text="rating of the rule", type="category", row=row, col=col
        )
        place.figure.update_yaxes(title_text="of the judge", range=[-4, 104], row=row, col=col)
    place.figure.update_layout(boxmode="group")
    return finish(place.figure, _title(tables), CAPTION, room=title_lines(place.figure))


CAPTION = (
    "Each mark is one response. A judge that agrees with the rule has its marks high where the "
    "rule says 100 and low where it says 0. Responses that it could not rate are not shown."
)


def _title(tables: Mapping[str, pd.DataFrame]) -> str:
    found = select(tables["calibration"], measure="spearman")
    known = where(found, found["estimate"].notna())
    if known.empty:
        return "No rank correlation between the judge and the rule is defined"
    said = ", ".join(
        f"{decimal(value, 2)} ({name})"
        for name, value in zip(known["rating"], known["estimate"], strict=True)
    )
    return f"Rank correlation of the judge with the rule: {said}"

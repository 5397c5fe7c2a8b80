"""Small multiples that keep their size, however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from figures.style import SMALL, grid, layout, plain, wrap

_AROUND = 126
"""Of a figure's height, what is not plot."""


@dataclass(frozen=True)
class Panels:
    """A figure of panels; panel k is at row and column `at[k]`."""

    figure: go.Figure
    at: tuple[tuple[int, int], ...]


def panels(
    titles: Sequence[str],
    columns: int,
    each: int,
    *,
    gap: int = 66,
    across: float = 0.06,
    letters: int = 30,
) -> Panels:
    """As many panels as titles (texts of data), row by row, `each` pixels high, `gap` apart."""
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    inner = rows * each + (rows - 1) * gap
    gaps = (across if columns > 1 else 0.0, gap / inner if rows > 1 else 0.0)
    blank = [""] * (rows * columns - len(titles))
    shown = [*(wrap(plain(title), letters) for title in titles), *blank]
    figure = grid(rows, columns, shown, height=inner + _AROUND, gaps=gaps)
    places = [(1 + k // columns, 1 + k % columns) for k in range(rows * columns)]
    for row, col in places[len(titles) :]:
        figure.update_xaxes(visible=False, row=row, col=col)
        figure.update_yaxes(visible=False, row=row, col=col)
    figure.update_yaxes(tickfont_size=SMALL)
    return Panels(figure, tuple(places[: len(titles)]))


def say(place: Panels, k: int, text: str) -> None:
    """Words in place of what a panel cannot show."""
    row, col = place.at[k]
    place.figure.add_annotation(
        text=text, x=0.5, y=0.5, xref="x domain", yref="y domain", showarrow=False, row=row, col=col
    )


def title_lines(figure: go.Figure) -> int:
    """Pixels that titles of more than one line need above the first row of panels."""
    lines = max((a.text or "").count("<br>") for a in layout(figure).annotations)
    return 18 * lines

"""One look for all figures: white, readable at paper size, safe for colour-blind readers."""

import html
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

# Okabe & Ito (2008), "Color universal design": told apart in all common colour deficiencies.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, LIGHT = "#8C8C8C", "#EDEDED"

WIDTH = 900
"""Pixels of an exported figure; on a page the width is the reader's."""
FONT = "Arial, Helvetica, 'Liberation Sans', sans-serif"
SMALL = 12
"""The smallest letters, in pixels."""
_TITLE_LETTERS, _NOTE_LETTERS = 104, 140
_LINE, _TITLE_LINE = 17, 22
_AXIS_BELOW = 66
"""Room under the plot for two-line tick labels and the axis title."""

DIVERGING = [[0.0, BLUE], [0.5, "#FFFFFF"], [1.0, VERMILLION]]


@dataclass(frozen=True)
class Look:
    """How one condition is drawn, in every figure in which it appears."""

    label: str
    colour: str
    dash: str = "solid"
    symbol: str = "circle"
    width: float = 1.8

    def faint(self, alpha: float = 0.16) -> str:
        """The colour of its interval band."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{alpha})"


_AXIS: dict[str, Any] = {
    "showline": True,
    "linecolor": "#444444",
    "ticks": "outside",
    "tickcolor": "#444444",
    "gridcolor": "#E8E8E8",
    "zeroline": False,
    "automargin": True,
    "title_standoff": 8,
    "title_font_size": 14,
    "tickfont_size": SMALL,
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": "#222222"},
        "title": {"x": 0.012, "xref": "container", "xanchor": "left", "font_size": 17},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "colorway": [BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK],
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {"font_size": SMALL, "tracegroupgap": 2, "itemwidth": 42},
        "hoverlabel": {"align": "left", "font_size": 13, "bgcolor": "white"},
        "annotationdefaults": {"font_size": SMALL},
        "margin": {"l": 70, "r": 20, "t": 60, "b": 80},
    }
)


def grid(
    rows: int = 1,
    columns: int = 1,
    titles: Sequence[str] = (),
    *,
    height: int = 440,
    shared_y: bool | str = False,
    gaps: tuple[float, float] = (0.08, 0.16),
) -> go.Figure:
    """An empty figure of small multiples in the house style; gaps (across, down) as shares."""
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(titles) or None,
        shared_yaxes=shared_y,  # type: ignore[arg-type]  # "all" is allowed too
        horizontal_spacing=gaps[0],
        vertical_spacing=gaps[1],
    )
    figure.update_annotations(font_size=14)
    return figure.update_layout(template=TEMPLATE, height=height)


def finish(
    figure: go.Figure, title: str, caption: str, notes: Iterable[str] = (), *, room: int = 0
) -> go.Figure:
    """Title above, what is missing below the plot, caption in `layout.meta["caption"]`.

    Title and caption are texts; notes are labels, already through `plain`; `room` is kept free
    between title and plot. The plot area keeps its height: the figure grows by what is written
    around it.
    """
    head = wrap(plain(title), _TITLE_LETTERS)
    foot = "<br>".join(wrap(f"– {note}", _NOTE_LETTERS) for note in notes)
    title_height = 22 + _TITLE_LINE * (1 + head.count("<br>"))
    above = title_height + room + (34 if _above_plot(figure) else 12)
    below = _AXIS_BELOW + (_LINE * (1 + foot.count("<br>")) + 8 if foot else 0)
    height = layout(figure).height - 60 - _AXIS_BELOW + above + below
    figure.update_layout(
        # `y` is the baseline of the first line; the others hang below it.
        title={"text": head, "y": 1 - 30 / height, "yref": "container", "yanchor": "bottom"},
        margin={"t": above, "b": below},
        height=height,
        meta={"title": title, "caption": caption, "title_height": title_height},
    )
    if foot:
        figure.add_annotation(
            text=foot,
            name="notes",
            showarrow=False,
            align="left",
            font={"size": SMALL, "color": "#555555"},
            **_paper(0, 0, "left", "top"),
            xshift=-60,
            yshift=-_AXIS_BELOW,
        )
    return figure


def nothing(title: str, why: str) -> go.Figure:
    """A figure that cannot be drawn says so, instead of not being there."""
    figure = grid(height=220).update_xaxes(visible=False).update_yaxes(visible=False)
    figure.add_annotation(
        text=wrap(plain(why), 90), showarrow=False, font_size=14, **_paper(0.5, 0.5)
    )
    return finish(figure, title, f"Not drawn: {why}")


def plain(text: object) -> str:
    """Text of a table as text: plotly reads tags in labels, so none may come from data."""
    return html.escape(str(text), quote=False)


def wrap(text: str, letters: int) -> str:
    """Line breaks for plotly, which breaks no lines itself."""
    return "<br>".join(textwrap.wrap(text, letters, break_long_words=False)) or text


def number(value: float, digits: int = 3) -> str:
    """Short, with a true minus sign."""
    return f"{value + 0.0:.{digits}g}".replace("-", "−")


def decimal(value: float, places: int = 3) -> str:
    """As many places in every number of a column, with a true minus sign."""
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", "−")


def _paper(x: float, y: float, xanchor: str = "center", yanchor: str = "middle") -> Mapping:
    return {
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "xanchor": xanchor,
        "yanchor": yanchor,
    }


def _above_plot(figure: go.Figure) -> bool:
    return any(a.yref == "paper" and (a.y or 0) >= 1 for a in layout(figure).annotations)


def layout(figure: go.Figure) -> Any:
    """The layout, whose attributes plotly makes at run time."""
    return figure["layout"]

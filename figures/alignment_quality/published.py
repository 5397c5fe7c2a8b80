"""AQI as it was published, with what in it is no measurement, and how far noise moves it."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.alignment_quality.looks import COMPARABLE, add_marks
from figures.rows import count, records, select, values_of
from figures.style import BLUE, SKY, finish, grid, nothing, plain

OVERALL, MEAN = "overall", "mean of axioms"
_LOOKS = {OVERALL: ("of the pool (overall)", BLUE), MEAN: ("mean of the axioms'", SKY)}


def aqi_bar_plot(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Bars: both published headlines; left the same models by adjusted η²."""
    published = tables["published"]
    models = values_of(tables["models"], "model")
    if not count(published["aqi"].notna()):
        return nothing("No figure “aqi_bar_plot”", "no published AQI could be computed")
    titles = ("adjusted η², comparable", "AQI as published, 0–100 within one model")
    figure = grid(1, 2, titles, height=170 + 46 * len(models), gaps=(0.04, 0.1))
    places = [float(k) for k in range(len(models))]
    add_marks(figure, tables["models"], COMPARABLE, places, "eta", row=1, col=1, showlegend=False)
    for k, (axiom, (label, colour)) in enumerate(_LOOKS.items()):
        _bars(figure, select(published, axiom=axiom), models, label, colour, 0.4 * k - 0.2)
    for column in (1, 2):
        figure.update_yaxes(
            tickvals=places,
            ticktext=[plain(m) for m in models] if column == 1 else [""] * len(models),
            range=[len(models) - 0.4, -0.6],
            row=1,
            col=column,
        )
    figure.update_xaxes(range=[0, 100], row=1, col=2)
    figure.update_layout(
        barmode="overlay", legend={"orientation": "h", "x": 0.5, "y": 1.06, "yanchor": "bottom"}
    )
    return finish(figure, _title(tables), _CAPTION, room=26)


def _bars(
    figure: go.Figure,
    table: pd.DataFrame,
    models: list[str],
    label: str,
    colour: str,
    offset: float,
) -> None:
    for k, model in enumerate(models):
        rows = records(select(table, model=model))
        plain_rows = [row for row in rows if row["reseed"] == 0]
        if not plain_rows:
            continue
        values = [row["aqi"] for row in rows]
        set_by_definition = str(plain_rows[0].get("no_measurement") or "") not in ("", "nan")
        figure.add_bar(
            x=[plain_rows[0]["aqi"]],
            y=[k + offset],
            width=0.34,
            orientation="h",
            name=label,
            legendgroup=label,
            showlegend=k == 0,
            marker={
                "color": colour,
                "pattern_shape": "/" if set_by_definition else "",
            },
            hovertext=f"{plain(model)}: {plain_rows[0]['aqi']:.1f}",
            hoverinfo="text",
            row=1,
            col=2,
        )
        figure.add_scatter(
            x=[min(values), max(values)],
            y=[k + offset] * 2,
            mode="lines",
            line={"color": "#222222", "width": 3},
            showlegend=False,
            hoverinfo="skip",
            row=1,
            col=2,
        )


def _title(tables: Mapping[str, pd.DataFrame]) -> str:
    table = tables["models"]
    by = [
        table.sort_values(n, ascending=False)["model"].iloc[0]
        for n in ("aqi_overall", "aqi_axiom_mean")
    ]
    return (
        f"“Baseline model”: {table['model'].iloc[0]} by adjusted η², {by[0]} by the published AQI "
        f"of the pool, {by[1]} by the mean of the axioms'"
    )


_CAPTION = (
    "Left: mean adjusted η² with 95 % BCa interval, highest first. Right: the Alignment Quality "
    "Index as it was published: CHI and XBI of a 3-D t-SNE map, scaled within one model over its "
    "axioms and their pool, so bars of two models have no common scale. Hatched: a part of the "
    "value is set by definition (some cell always has the smallest and the largest CHI; XB_norm "
    "has a floor). Black lines: from the value to what it becomes when noise of one part in ten "
    "million is added to the states."
)

"""Which axioms a model separates: the published heat map, with a measure that can be compared."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.alignment_quality.looks import MEAN, POOLED, headline_pool, said
from figures.rows import absent, records, select, values_of, where
from figures.style import finish, grid, plain, wrap

_SCALE = [[0.0, "#FFFFFF"], [1.0, "#D55E00"]]


def aqi_axiom_heatmap(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Models by axioms: adjusted η² with its interval; the published AQI under the pointer."""
    whole = tables["separation"]
    pool = headline_pool(whole)
    table = select(whole, pool=pool, headline=True, stage=("instruct", "base"))
    table = where(table, ~table["axiom"].isin([POOLED, MEAN]))
    models, axioms = values_of(table, "model"), values_of(table, "axiom")
    cells = {(row["model"], row["axiom"]): row for row in records(table)}
    aqi = _aqi(tables.get("published"))
    figure = grid(height=150 + 42 * len(models))
    figure.add_heatmap(
        z=[[_value(cells[m, a]) for a in axioms] for m in models],
        x=[wrap(plain(a), 14) for a in axioms],
        y=[plain(m) for m in models],
        text=[[_text(cells[m, a]) for a in axioms] for m in models],
        texttemplate="%{text}",
        textfont_size=11,
        hovertext=[[_hover(cells[m, a], aqi.get((m, a))) for a in axioms] for m in models],
        hoverinfo="text",
        colorscale=_SCALE,
        zmin=0,
        colorbar={"title": "adjusted η²", "thickness": 12},
        xgap=2,
        ygap=2,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, tickangle=0)
    caption = (
        f"Adjusted η² of every axiom at the headline's layer, {pool} pooling, with its 95 % BCa "
        "interval over inputs (the published map showed 5 % of each value instead). Axioms are "
        "of one size, so cells can be compared along both axes. Under the pointer: the AQI as "
        "published, which ranks the axioms of one model and cannot be compared down a column."
    )
    return finish(figure, "Which axioms each model separates", caption)


def _aqi(published: pd.DataFrame | None) -> dict[tuple[str, str], float]:
    if published is None or published.empty:
        return {}
    rows = records(select(published, reseed=0))
    return {(row["model"], row["axiom"]): row["aqi"] for row in rows}


def _value(cell: Mapping[str, float]) -> float | None:
    return None if absent(cell["eta"]) else float(cell["eta"])


def _text(cell: Mapping[str, float]) -> str:
    if absent(cell["eta"]):
        return "missing"
    if absent(cell["eta_low"]):
        return f"{cell['eta']:.3f}"
    return f"{cell['eta']:.3f}<br>[{cell['eta_low']:.3f}, {cell['eta_high']:.3f}]"


def _hover(cell: Mapping[str, float], aqi: float | None) -> str:
    published = "" if aqi is None else f"<br>AQI as published {aqi:.1f}"
    return f"η² {said(cell)}<br>AUC {said(cell, 'auc')}{published}"

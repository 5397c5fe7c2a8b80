"""Which component's own change goes along with the change of R_V that remains."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from figures.marks import layer_axis
from figures.rows import count, layers_of, n_range, records, select, values_of, without
from figures.style import DIVERGING, SMALL, decimal, finish, grid, number, plain
from figures.words import Cell, missing_notes, p_value, reason

_COVARIATES = {
    "mlp_expansion": "MLP expansion",
    "attention_entropy": "Attention entropy",
    "ln1_scale": "Scale of the first norm",
    "residual_norm": "Residual norm",
    "residual_pr": "Residual PR",
}
_ALPHA = 0.05
_ABSENT = "#D9D9D9"


def associations(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Layer × covariate: Spearman of what is left after the size at the patch is accounted for."""
    table = select(tables["mechanisms"], analysis="association")
    present, layers = values_of(table, "component"), layers_of(table)
    names = sorted(present, key=lambda c: list(_COVARIATES).index(c) if c in _COVARIATES else 99)
    found = {(cell["component"], cell["layer"]): cell for cell in records(table)}
    cells = [[found.get((name, layer), {}) for layer in layers] for name in names]
    figure = grid(height=190 + 52 * max(len(names), 1))
    _map(figure, cells, layers, names, absent=True)
    _map(figure, cells, layers, names, absent=False)
    for name, row in zip(names, cells, strict=True):
        for layer, cell in zip(layers, row, strict=True):
            _write(figure, name, layer, cell, len(layers))
    layer_axis(figure, table, most=18)
    figure.update_yaxes(
        type="category",
        tickvals=names,
        ticktext=[_name(name) for name in names],
        autorange="reversed",
        showgrid=False,
    )
    figure.update_xaxes(showgrid=False)
    tested = count(table["p_adjusted"].notna())
    clear = count(table["p_adjusted"] < _ALPHA)
    title = (
        f"{clear} of {tested} partial correlations with the remaining change of R_V hold up "
        "after correction"
        if tested
        else "No partial correlation with the remaining change of R_V could be computed"
    )
    caption = (
        "Partial Spearman correlation over pairs of log |Δ log R_V| at a layer with the change of "
        "each quantity, at equal change at the patch; negative: where the quantity rises, less "
        "of the change remains. Bold with *: p < 0.05 by Freedman–Lane permutation, adjusted over "
        f"all cells (Benjamini–Hochberg); n = {n_range(table)} pairs, no intervals. A correlation "
        "between pairs is not a cause."
    )
    absent = without(table, "status", "ok").assign(
        estimate=float("nan"), low=float("nan"), high=float("nan")
    )
    notes = missing_notes(absent, "correlation", "component", _name)
    return finish(figure, title, caption, notes)


def _name(component: str) -> str:
    return _COVARIATES.get(component, plain(component))


def _map(
    figure: go.Figure,
    cells: Sequence[Sequence[Cell]],
    layers: Sequence[int],
    names: Sequence[str],
    *,
    absent: bool,
) -> None:
    """The correlations; or, in grey, the cells that have none, with the reason on pointing."""

    def height(cell: Cell) -> float | None:
        value = _value(cell, "spearman")
        return (0.0 if value is None else None) if absent else value

    figure.add_heatmap(
        z=[[height(cell) for cell in row] for row in cells],
        x=list(layers),
        y=list(names),
        zmin=-1,
        zmax=1,
        colorscale=[[0, _ABSENT], [1, _ABSENT]] if absent else DIVERGING,
        showscale=not absent,
        hovertext=[[_hover(cell) for cell in row] for row in cells],
        hoverinfo="text",
        hoverongaps=False,
        xgap=2,
        ygap=2,
        colorbar={
            "title": {"text": "partial Spearman", "side": "right", "font_size": 13},
            "thickness": 14,
            "tickfont_size": SMALL,
        },
        name="missing" if absent else "partial Spearman",
    )


def _write(figure: go.Figure, name: str, layer: int, cell: Cell, n_columns: int) -> None:
    """The number, as long as the cell is wide enough for it; a star stays in any case."""
    value, adjusted = _value(cell, "spearman"), _value(cell, "p_adjusted")
    if value is None:
        text = "missing" if n_columns <= 8 else "–"
    else:
        text = decimal(value, 2 if n_columns <= 9 else 1) if n_columns <= 20 else ""
        if adjusted is not None and adjusted < _ALPHA:
            text = f"<b>{text}*</b>"
    colour = "white" if value is not None and abs(value) > 0.65 else "#222222"
    figure.add_annotation(
        x=layer, y=name, text=text, showarrow=False, font={"size": SMALL, "color": colour}
    )


def _hover(cell: Cell) -> str:
    if not cell:
        return "missing: not in the table"
    head = f"<b>{_name(cell['component'])}</b>, layer {cell['layer']}"
    if _value(cell, "spearman") is None:
        return f"{head}<br>missing: {reason(cell)}"
    left_out = f"<br>{plain(cell['reason'])}" if isinstance(cell["reason"], str) else ""
    return (
        f"{head}<br>Spearman {number(cell['spearman'])}, Pearson {number(cell['pearson'])}<br>"
        f"slope {number(cell['estimate'])}<br>{p_value(cell['p'])}, "
        f"adjusted: {p_value(cell['p_adjusted'])}<br>n = {cell['n']:.0f}{left_out}"
    )


def _value(cell: Cell, column: str) -> float | None:
    value = cell.get(column)
    return None if value is None or pd.isna(value) else float(value)

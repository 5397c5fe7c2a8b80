"""The change that a patch causes behind it, beside the natural gap that it could carry over."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.cross_architecture.crosses import ends_of, levels, mark, spread_of
from figures.cross_architecture.looks import looks, with_role
from figures.marks import add_key
from figures.rows import has_interval, n_range, records, select, values_of
from figures.style import GREY, finish, grid, nothing, number, plain
from figures.words import missing_notes

_ROLES = {
    "gap": "at the largest gap",
    "drop": "at the largest growth of the gap",
    "patch": "at the largest effect of a patch",
    "fixed": "at the fixed depth",
}


def gap_and_effect(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a reason to patch a layer, one mark a model; filled where transfer is defined."""
    table = select(tables["transfer"], outcome="log_r_v", definitional=False)
    panels = {role: with_role(table, role) for role in _ROLES}
    panels = {role: rows for role, rows in panels.items() if len(rows)}
    if not panels:
        return nothing("No figure “gap_and_effect”", "transfer.csv has no layer behind a patch")
    columns = 2 if len(panels) > 1 else 1
    down = -(-len(panels) // columns)
    titles = [f"Patched {_ROLES[role]}" for role in panels]
    figure = grid(down, columns, titles, height=120 + 330 * down, gaps=(0.09, 0.36 / (down + 1)))
    spread = spread_of(tables.get("pairs"))
    ends = ends_of(table, spread)
    shown: set[str] = set()
    for k, rows in enumerate(panels.values()):
        row, col = k // columns + 1, k % columns + 1
        levels(figure, ends, legend=k == 0, row=row, col=col)
        for cell in records(rows):
            look = looks(tables)[cell["model"]]
            first = cell["model"] not in shown
            mark(figure, cell, look, spread, legend=first, row=row, col=col)
            shown.add(cell["model"])
        lowest = k + columns >= len(panels)
        figure.update_xaxes(
            range=ends["x"], title_text="natural gap" if lowest else "", row=row, col=col
        )
        figure.update_yaxes(
            range=ends["y"], title_text="change by the patch" if col == 1 else "", row=row, col=col
        )
    _filling(figure)
    patched = table.drop(columns="layer").rename(columns={"patch_layer": "layer"})
    notes = missing_notes(patched, "transfer", "model") + _nothing_behind(tables["transfer"], table)
    return finish(figure, _title(table), _caption(table, bool(spread)), notes)


def _filling(figure: go.Figure) -> None:
    for label, symbol in (
        ("filled: transfer defined", "circle"),
        ("hollow: undefined", "circle-open"),
    ):
        add_key(figure, label, symbol, GREY, legendrank=2001)


def _nothing_behind(every: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Panels that lack a model, for it is patched at its last layer."""
    site = select(every, outcome="log_r_v", definitional=True)
    notes = []
    for role, words in _ROLES.items():
        seen = values_of(with_role(table, role), "model")
        gone = [plain(m) for m in values_of(with_role(site, role), "model") if m not in seen]
        notes += [f"no layer behind a patch {words}: {', '.join(gone)}"] * bool(gone)
    return notes


def _title(table: pd.DataFrame) -> str:
    known = select(table.assign(known=has_interval(table)), known=True)
    head = (
        f"Share of the natural gap that a patch carries to the last layer: defined in {len(known)}"
    )
    text = f"{head} of {len(table)} cases"
    if known.empty:
        why = [given for given in values_of(table, "reason") if isinstance(given, str)]
        return " – ".join([text, *why[:1]])
    estimates = sorted(values_of(known, "estimate"))
    values = [number(end, 2) for end in (estimates[0], estimates[-1])]
    return f"{text}, there {' to '.join(dict.fromkeys(values))}"


def _caption(table: pd.DataFrame, with_bars: bool) -> str:
    drawn = "bars: 95 % t intervals over pairs" if with_bars else "no intervals are drawn"
    return (
        "Mean change of log R_V at the last layer by the donor's values, against the mean gap that "
        f"donor and target have there on their own (n = {n_range(table)} pairs a model; {drawn}, "
        "not corrected). On the dashed line a patch would carry the whole gap over. Their ratio, "
        "transfer, is defined (filled; 95 % Fieller interval on pointing at the mark) only where "
        "the gap's own interval excludes 0. One layer can be patched for several reasons and is "
        "then shown in several panels. The patched layer itself is left out: there the ratio is "
        "1 by definition, up to the early layer."
    )

"""The four hypotheses at a glance."""

from collections import Counter
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.homeostasis.looks import LOOKS, MARGIN, margin_band
from figures.marks import NO_INTERVAL, add_key, beyond_notes, padded_range
from figures.rows import layers_of, records, values_of
from figures.style import BLACK, BLUE, decimal, finish, grid, number, plain, wrap
from figures.words import Cell, interval, missing_notes, p_value, reason

_COLOURS = {
    "mlp_compensation": LOOKS["freeze_mlp"].colour,
    "attention_compensation": LOOKS["freeze_pattern"].colour,
    "norm_compensation": LOOKS["freeze_norm"].colour,
    "residual_balancing": BLUE,
}
_RELEASED_BELOW = 0.26
_CELLS = ("estimate", "low", "high")
_WIDEST = 2.0
"""Effects and intervals are drawn within ± this much recovery."""


def hypotheses(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Forest of effects with the margin shaded and each verdict in words."""
    table = tables["hypotheses"]
    rows = records(table)
    figure = grid(height=150 + 84 * len(rows))
    margin_band(figure, vertical=True)
    figure.add_vline(x=0, line={"color": BLACK, "width": 1}, exclude_empty_subplots=False)
    for place, row in enumerate(rows):
        _effect(figure, row, place)
        _effect(figure, row, place, "released_", _RELEASED_BELOW)
        text = _verdict(row)
        figure.add_annotation(
            text=text, x=1.02, xref="paper", y=place, xanchor="left", align="left", showarrow=False
        )
    _keys(figure)
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[wrap(plain(row["statement"]), 30) for row in rows],
        range=[len(rows) - 0.4, -0.6],
        showgrid=False,
        tickfont_size=13,
    )
    sides = [table.filter(items=[f"{side}{c}" for c in _CELLS]) for side in ("", "released_")]
    both = pd.concat([side.set_axis(list(_CELLS), axis=1) for side in sides])
    ends = padded_range(both, -MARGIN, MARGIN, within=_WIDEST)
    figure.update_xaxes(
        range=ends,
        title_text=f"effect on recovery at layer {layers_of(table)[-1]} (1 = all comes back)",
    )
    caption = (
        f"Effect of each hypothesised mechanism on recovery at layer {layers_of(table)[-1]}, "
        "with 95 % BCa bootstrap interval over pairs; hollow: the same component from the "
        "released side (only it answers). Shaded: too small to matter "
        f"(±{MARGIN}), fixed before the data. Each effect is that of holding a whole component "
        "still in this model on these texts: they need not add up, and they do not say which "
        "heads or neurons."
    )
    named = {row["hypothesis"]: plain(row["statement"]) for row in rows}
    bare = table.drop(columns="layer")
    notes = missing_notes(bare, "effect", "hypothesis", named.__getitem__)
    notes += beyond_notes(bare, ends, "hypothesis", "its ends are at the right")
    finish(figure, _title(table), caption, notes, room=22)
    return figure.update_layout(margin_r=190)


def _effect(figure: go.Figure, row: Cell, place: int, prefix: str = "", below: float = 0.0) -> None:
    """A mark with its interval; nothing where there is no estimate (the notes say why)."""
    x = row.get(f"{prefix}estimate")
    if x is None or pd.isna(x):
        return
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    known = not (pd.isna(low) or pd.isna(high))
    colour = _COLOURS.get(row["hypothesis"], BLACK)
    figure.add_scatter(
        x=[float(x)],
        y=[place + below],
        mode="markers",
        name=f"{plain(row['hypothesis'])} {prefix}".strip(" _"),
        showlegend=False,
        marker={
            "symbol": f"circle{NO_INTERVAL}"
            if not known
            else "circle-open"
            if prefix
            else "circle",
            "size": 8 if prefix else 11,
            "color": colour,
            "line": {"color": colour, "width": 2},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - x],
            "arrayminus": [x - low],
            "color": colour,
            "thickness": 1.5 if prefix else 2.5,
            "width": 5,
        }
        if known
        else None,
        hovertext=[_hover(row, prefix)],
        hoverinfo="text",
    )


def _keys(figure: go.Figure) -> None:
    """Keys in grey: colour tells the component, filling the side."""
    for label, symbol in (("held still", "circle"), ("only it answers", "circle-open")):
        add_key(figure, label, symbol, "#555555", size=10, width=2)
    figure.update_layout(
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
    )


def _hover(row: Cell, prefix: str) -> str:
    side = "released side" if prefix else plain(row["effect"])
    text = (
        f"<b>{plain(row['statement'])}</b><br>{side} = {number(row[f'{prefix}estimate'])}"
        f"{interval(row, prefix)}<br>n = {row[f'{prefix}n']:.0f} pairs"
    )
    if prefix:
        return text
    adjusted, equivalence = (row.get(f"{p}_adjusted") for p in ("p", "equivalence_p"))
    return (
        f"{text}<br>{p_value(adjusted)} (adjusted over the hypotheses)"
        f"<br>equivalence: {p_value(equivalence)} (adjusted)"
    )


def _verdict(row: Cell) -> str:
    head = f"<b>{plain(row['verdict'])}</b>"
    if pd.isna(row["estimate"]):
        return f"{head}<br>{wrap(f'no effect: {reason(row)}', 28)}"
    effect = decimal(row["estimate"])
    if pd.isna(row["low"]) or pd.isna(row["high"]):
        return f"{head}<br>{effect}, no interval (see below)<br>n = {row['n']:.0f}"
    ends = f"[{decimal(row['low'])}, {decimal(row['high'])}]"
    return f"{head}<br>{effect} {ends}<br>n = {row['n']:.0f}"


def _title(table: pd.DataFrame) -> str:
    counts = Counter(str(verdict) for verdict in table["verdict"])
    supported = counts.pop("supported", 0)
    rest = ", ".join(f"{k} {verdict}" for verdict, k in counts.most_common())
    verb = "are" if supported > 1 else "is"
    n = len(values_of(table, "hypothesis"))
    head = f"{supported or 'None'} of {n} hypotheses {verb} supported"
    return f"{head}; {rest}" if rest else head

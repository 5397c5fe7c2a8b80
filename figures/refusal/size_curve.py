"""Coherent refusals against the size of the model, within one family."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.marks import log_axis
from figures.refusal.looks import BEST, failed_notes, methods, percent, rate
from figures.refusal.panels import Panels, panels, title_lines
from figures.refusal.size_marks import add_keys, add_size_line, count_of
from figures.rows import n_range, records, select, values_of, where
from figures.style import Look, decimal, finish, nothing, plain, wrap

SHAPES = ("rising", "falling", "peak", "dip", "flat", "mixed")


def size_curve(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a method, one mark a model at its number of parameters."""
    table = select(tables["verdicts"], choice=BEST)
    known = rate(table, "parameters") > 0
    if not known.any():
        return nothing("No figure “size_curve”", "no number of parameters is known")
    table = where(table, known).sort_values("parameters")
    looks = methods(table, "method")
    place = panels([look.label for look in looks.values()], 2, 300)
    for k, (method, look) in enumerate(looks.items()):
        add_size_line(place, k, select(table, method=method), look)
    _axes(place, table)
    add_keys(place.figure, looks)
    curve = tables.get("curve")
    notes = [*_shapes(curve), *failed_notes(tables), _ONE_CHECKPOINT]
    room = title_lines(place.figure)
    return finish(place.figure, _title(table, curve, looks), _caption(table), notes, room=room)


_ONE_CHECKPOINT = (
    "one checkpoint a size: the intervals are over prompts, and nothing is said about models of "
    "this size from other seeds or training runs"
)


def _axes(place: Panels, table: pd.DataFrame) -> None:
    sizes = dict(zip(table["parameters"].tolist(), table["model"].tolist(), strict=True))
    low, high = min(sizes), max(sizes)
    air = (high / low) ** 0.22 if high > low else 1.5
    ticks = [f"{count_of(size)}<br>{wrap(plain(name), 16)}" for size, name in sizes.items()]
    place.figure.update_xaxes(**log_axis(low / air, high * air))
    place.figure.update_xaxes(tickvals=list(sizes), ticktext=ticks, tickangle=0)
    place.figure.update_yaxes(range=[-4, 104], tickvals=[0, 20, 60, 100])
    for row, col in place.at:
        place.figure.update_xaxes(title_text="parameters (log scale)", row=row, col=col)
    place.figure.update_yaxes(title_text="of answers, %", col=1)


def _shapes(curve: pd.DataFrame | None) -> list[str]:
    """How often each shape comes out when prompts are resampled."""
    return [
        f"shapes in resamples of the prompts, {plain(str(row['method']).upper())}: "
        + ", ".join(f"{name} {percent(row[name])}" for name in SHAPES if row[name] >= 0.005)
        for row in ([] if curve is None else records(curve))
    ]


def _title(table: pd.DataFrame, curve: pd.DataFrame | None, looks: Mapping[str, Look]) -> str:
    sizes = sorted(values_of(table, "parameters"))
    ends = " to ".join(dict.fromkeys([count_of(sizes[0]), count_of(sizes[-1])]))
    lead = f"Coherent refusals over {len(sizes)} sizes ({ends} parameters)"
    rows = {} if curve is None else {row["method"]: row for row in records(curve)}
    parts = [
        f"{look.label} {rows[name]['shape']} (bootstrap probability "
        f"{decimal(rows[name][rows[name]['shape']], 2)})"
        if name in rows
        else f"{look.label} unknown (no curve from fewer than two sizes)"
        for name, look in looks.items()
    ]
    return f"{lead}: {', '.join(parts)}"


def _caption(table: pd.DataFrame) -> str:
    return (
        "Share of benign test requests with a coherent refusal, with 95 % Wilson interval over "
        f"unique prompts (n = {n_range(table)}); layer and dose of each size were chosen on other "
        "prompts, so they differ between sizes. Open and dotted: garbled answers, refusal or not. "
        "Grey band: random directions exactly as long at the same place, from their mean to the "
        "best; cross: the best of them at its own place and dose after the same search. Shapes: "
        "flat within 10 points; rising or falling where the ends differ by more, peak or dip where "
        "a size between lies beyond both ends by more. Their probability is the share of "
        "bootstrap resamples of the prompts, the same for all sizes."
    )

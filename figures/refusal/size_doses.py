"""Coherent refusals against the dose, one line a size, on test prompts."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.marks import add_key, bars, numbers
from figures.refusal.controls import RANDOM, SAME
from figures.refusal.dose_axes import axes, best_of, ramp
from figures.refusal.dose_lines import add_keys, add_line, add_ring
from figures.refusal.looks import (
    AS,
    at_depths,
    chosen,
    failed_notes,
    in_percent,
    methods,
    rate,
)
from figures.refusal.panels import Panels, panels, say, title_lines
from figures.rows import n_range, select, values_of, where
from figures.style import Look, finish, nothing, number

_NO_DOSE = "no dose is known as a share of the residual norm"
_CHOSEN = "chosen on other prompts"
_APART = 1.025
"""Neighbouring sizes are drawn at doses that differ by this factor, so that intervals are seen."""


def size_doses(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a method, with all doses of every size at the one depth that it was given."""
    tested = at_depths(tables["conditions"], "test")
    found = where(tested, tested["dose_residual"].astype(float) > 0)
    looks = methods(found)
    if not looks:
        return nothing("No figure “dose_response”", _NO_DOSE)
    place = panels([look.label for look in looks.values()], 2, 300)
    names = _by_size(found, tables.get("verdicts"))
    sizes = dict(zip(names, ramp(names), strict=True))
    like = _as_long(tables["conditions"])
    for k, method in enumerate(looks):
        _random(place, k, where(like, [d.startswith(f"{AS}{method}|") for d in like["depth"]]))
        _panel(place, k, select(found, source=method), sizes, tables.get("verdicts"))
    axes(place, found)
    ring = _CHOSEN if "verdicts" in tables else ""
    add_keys(place.figure, list(sizes.values()), ring=ring)
    if len(like):
        add_key(place.figure, f"{RANDOM[SAME].label}<br>and dose", *_random_look())
    title, room = _title(found, looks), title_lines(place.figure)
    return finish(place.figure, title, _caption(found), failed_notes(tables), room=room)


def _by_size(found: pd.DataFrame, verdicts: pd.DataFrame | None) -> list[str]:
    """Models, the smallest first where their parameters are known."""
    models = list(map(str, values_of(found, "model")))
    if verdicts is None or "parameters" not in verdicts:
        return models
    size = dict(zip(verdicts["model"], verdicts["parameters"], strict=True))
    return sorted(models, key=lambda name: size.get(name, 0))


def _panel(
    place: Panels,
    k: int,
    table: pd.DataFrame,
    sizes: Mapping[str, Look],
    verdicts: pd.DataFrame | None,
) -> None:
    for m, (model, look) in enumerate(sizes.items()):
        rows = select(table, model=model).sort_values("dose_residual")
        if rows.empty:
            continue
        shift = _APART ** (m - (len(sizes) - 1) / 2)
        ends = bars(in_percent(rows, "coherent"), look.colour, 1.0)
        add_line(place, k, rows, "garbled", look, shift=shift, opacity=0.55)
        add_line(place, k, rows, "coherent", look, shift=shift, error_y=ends)
        taken = chosen(rows, verdicts)
        add_ring(place, k, taken.assign(dose_residual=taken["dose_residual"] * shift), _CHOSEN)
    if table.empty:
        say(place, k, "not tested")


def _as_long(conditions: pd.DataFrame) -> pd.DataFrame:
    """Random directions exactly as long as a method's, at its place and its chosen dose."""
    rows = select(conditions, phase="test")
    return where(rows, [str(depth).startswith(AS) for depth in rows["depth"].tolist()])


def _random(place: Panels, k: int, rows: pd.DataFrame) -> None:
    row, col = place.at[k]
    symbol, colour = _random_look()
    place.figure.add_scatter(
        x=numbers(rows["dose_residual"]),
        y=numbers(rate(rows, "coherent")),
        mode="markers",
        name=RANDOM[SAME].label,
        marker={"symbol": symbol, "size": 7, "color": colour, "line_width": 1.2},
        showlegend=False,
        hoverinfo="skip",
        row=row,
        col=col,
    )


def _random_look() -> tuple[str, str]:
    return RANDOM[SAME].symbol, "#8C8C8C"


def _title(found: pd.DataFrame, looks: Mapping[str, Look]) -> str:
    """Where refusals are most frequent."""
    parts = []
    for method, look in looks.items():
        mine = select(found, source=method)
        best = [best_of(select(mine, model=model)) for model in values_of(mine, "model")]
        doses = sorted(row["dose_residual"] for row in best if row["coherent"] > 0)
        ends = " to ".join(dict.fromkeys(map(number, (doses[0], doses[-1])))) if doses else ""
        words = f"{ends} ({len(doses)} of {len(best)} sizes)" if doses else "none at any dose"
        parts.append(f"{look.label} {words}")
    return f"Doses at which test requests are refused coherently most often: {', '.join(parts)}"


def _caption(found: pd.DataFrame) -> str:
    return (
        "Benign test requests under every dose, at the one depth of each size that DIM chose on "
        "other prompts: coherent refusals (solid, filled, with 95 % Wilson interval over unique "
        f"prompts, n = {n_range(found)}) and garbled answers, refusals or not (dotted, open). All "
        "doses are measured for all sizes, so that size and dose are not confounded; the highest "
        "of several doses is high by selection. Ringed: the dose that was chosen on other prompts, "
        "which the curve of sizes shows. Grey: random directions exactly as long, at the same "
        "place and that dose. Marks of the sizes stand a little apart. A dose is the length of "
        "what is added, as a share of the residual stream's mean norm at that block."
    )

"""Coherent refusals and garbled answers while depth and dose are chosen: the search itself.

The search is in two stages: short answers to a few prompts at every dose (phase `screen`), then
long ones to all at the best doses of each direction (`search`).
"""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.refusal.dose_axes import axes, best_of, ramp
from figures.refusal.dose_lines import (
    PALE,
    add_keys,
    add_line,
    add_line_key,
    add_random,
    add_ring,
)
from figures.refusal.looks import OWN_RULE, at_depths, chosen, failed_notes, methods
from figures.refusal.panels import Panels, panels, say, title_lines
from figures.rows import absent, n_range, records, select, values_of, where
from figures.style import BLACK, GREY, Look, finish, nothing, number, plain
from figures.words import Cell

_TAKEN = "taken to the test"
_NO_DOSE = "no dose is known as a share of the residual norm"


def dose_response(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a model and method, one line a depth, random directions behind them."""
    searched = _tried(tables["conditions"], "search")
    found, screened = _known(searched), _known(_tried(tables["conditions"], "screen"))
    looks = methods(found)
    if not looks:
        return nothing("No figure “dose_response”", _NO_DOSE)
    cells = [(model, name) for model in values_of(found, "model") for name in looks]
    titles = [f"{model} · {looks[name].label}" for model, name in cells]
    place = panels(titles, max(len(looks), 1) if len(looks) < 4 else 3, 200, letters=44)
    depths = _depth_looks(found)
    for k, (model, name) in enumerate(cells):
        mine = select(found, model=model)
        _panel(place, k, mine, select(screened, model=model), name, depths)
        taken = chosen(select(mine, source=name), tables.get("verdicts"))
        add_ring(place, k, taken, _TAKEN)
    every = pd.concat([found, screened])
    axes(place, every)
    _keys(place, found, screened, depths, ring=_TAKEN if "verdicts" in tables else "")
    title, notes = _title(found, every, looks), [*failed_notes(tables), *_lost(searched)]
    caption, room = _caption(found, screened), title_lines(place.figure)
    return finish(place.figure, title, caption, notes, room=room)


def _tried(table: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Conditions on validation prompts at the depths asked for, then at methods' own choices."""
    own = select(table, phase=phase, depth=OWN_RULE)
    return pd.concat([at_depths(table, phase), own.assign(share=float("nan"))])


def _known(table: pd.DataFrame) -> pd.DataFrame:
    return where(table, table["dose_residual"].astype(float) > 0)


def _depth_looks(table: pd.DataFrame) -> dict[str, Look]:
    """Dark to light with the depth; the method's own choice in black."""
    shares = sorted(float(s) for s in values_of(table, "share") if not absent(s))
    ordered = ramp([f"depth {number(100 * share)} %" for share in shares])
    found = {f"{share:g}": look for share, look in zip(shares, ordered, strict=True)}
    return found | {OWN_RULE: Look("the method's own choice", BLACK, symbol="x")}


def _panel(
    place: Panels,
    k: int,
    table: pd.DataFrame,
    screened: pd.DataFrame,
    method: str,
    depths: Mapping[str, Look],
) -> None:
    add_random(place, k, screened if len(screened) else table)
    stages = [(screened, "lines"), (table, "markers")] if len(screened) else []
    for rows, mode in stages or [(table, "lines+markers")]:
        mine = select(rows, source=method)
        for name, look in depths.items():
            at = where(mine, [_name(cell) == name for cell in records(mine)])
            for quality in ("coherent", "garbled") if len(at) else ():
                add_line(place, k, at.sort_values("dose_residual"), quality, look, mode=mode)
    if select(table, source=method).empty:
        say(place, k, "not searched")


def _keys(
    place: Panels,
    found: pd.DataFrame,
    screened: pd.DataFrame,
    depths: Mapping[str, Look],
    *,
    ring: str,
) -> None:
    present = {_name(cell) for cell in records(found)}
    add_keys(place.figure, [look for d, look in depths.items() if d in present], ring=ring)
    if len(screened):
        label = f"thin line: screening<br>(n = {n_range(screened)}, short answers)"
        add_line_key(place.figure, label, Look("", GREY), "lines")
    if any(str(source).startswith("random") for source in values_of(found, "source")):
        label = "random directions,<br>coherent, any depth"
        add_line_key(place.figure, label, Look("", PALE))


def _name(cell: Cell) -> str:
    return OWN_RULE if absent(cell["share"]) else f"{cell['share']:g}"


def _lost(searched: pd.DataFrame) -> list[str]:
    lost = where(searched, ~(searched["dose_residual"].astype(float) > 0))
    names = ", ".join(plain(name) for name in values_of(lost, "model"))
    return [f"{_NO_DOSE}, not drawn: {names}"] * bool(names)


def _title(found: pd.DataFrame, every: pd.DataFrame, looks: Mapping[str, Look]) -> str:
    """Whether the search had to go as far as it could."""
    parts = []
    for method, look in looks.items():
        mine = select(found, source=method)
        best = [best_of(select(mine, model=model)) for model in values_of(mine, "model")]
        hits = [row for row in best if row["coherent"] > 0]
        tried = [select(every, model=row["model"], source=method)["dose"].max() for row in hits]
        below = sum(row["dose"] < top for row, top in zip(hits, tried, strict=True))
        parts.append(f"{look.label} in {below} of {len(hits)}")
    return f"Coherent refusals are most frequent below the largest dose: {', '.join(parts)} models"


def _caption(found: pd.DataFrame, screened: pd.DataFrame) -> str:
    stages = (
        f"Thin lines: the screening of every dose, short answers to {n_range(screened)} requests; "
        "marks: the best doses of each direction, long answers to all requests; these decide. "
    ) * bool(len(screened))
    return (
        "Validation requests (benign), on which depth and dose are chosen: share of coherent "
        "refusals (solid, filled) and garbled answers, refusals or not (dotted, open), n = "
        f"{n_range(found)} a mark and therefore rough; no interval is drawn, and the highest of "
        f"many is high by selection (the title leaves out models without any coherent refusal). "
        f"{stages}Ringed: depth and dose that were taken to the test requests, where everything is "
        "measured anew. Grey: coherent refusals of every random direction at every depth. A dose "
        "is the length of what is added, as a share of the residual stream's mean norm at that "
        "block."
    )

"""Coherent refusals and garbled answers while depth and dose are chosen: the search itself."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from figures.marks import log_axis
from figures.refusal.dose_lines import add_keys, add_line, add_random, add_ring
from figures.refusal.looks import OWN_RULE, at_depths, chosen, failed_notes, methods
from figures.refusal.panels import Panels, panels, say, title_lines
from figures.rows import absent, n_range, records, select, values_of, where
from figures.style import BLACK, Look, finish, nothing, number, plain
from figures.words import Cell

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "star")
_NO_DOSE = "no dose is known as a share of the residual norm"


def dose_response(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a model and method, one line a depth, random directions behind them."""
    table = tables["conditions"]
    own = select(table, phase="search", depth=OWN_RULE)
    searched = pd.concat([at_depths(table, "search"), own.assign(share=float("nan"))])
    found = where(searched, searched["dose_residual"].astype(float) > 0)
    looks = methods(found)
    if not looks:
        return nothing("No figure “dose_response”", _NO_DOSE)
    cells = [(model, name) for model in values_of(found, "model") for name in looks]
    titles = [f"{model} · {looks[name].label}" for model, name in cells]
    place = panels(titles, max(len(looks), 1) if len(looks) < 4 else 3, 200, letters=44)
    depths = _depth_looks(found)
    for k, (model, name) in enumerate(cells):
        mine = select(found, model=model)
        _panel(place, k, mine, name, depths)
        taken = chosen(select(mine, source=name), tables.get("verdicts"))
        add_ring(place, k, taken)
    _axes(place, found)
    present = {_name(cell) for cell in records(found)}
    random = any(str(source).startswith("random") for source in values_of(found, "source"))
    add_keys(place.figure, [look for d, look in depths.items() if d in present], random)
    title, notes = _title(found, looks), [*failed_notes(tables), *_lost(searched)]
    return finish(place.figure, title, _caption(found), notes, room=title_lines(place.figure))


def _depth_looks(table: pd.DataFrame) -> dict[str, Look]:
    """Dark to light with the depth; the method's own choice in black."""
    shares = sorted(float(s) for s in values_of(table, "share") if not absent(s))
    at = [k / max(len(shares) - 1, 1) * 0.82 for k in range(len(shares))]
    colours = sample_colorscale("Viridis", at, colortype="tuple") if at else []
    found = {
        f"{share:g}": Look(f"depth {number(100 * share)} %", _hex(rgb), symbol=symbol)
        for share, rgb, symbol in zip(shares, colours, _SYMBOLS * len(shares), strict=False)
    }
    return found | {OWN_RULE: Look("the method's own choice", BLACK, symbol="x")}


def _hex(rgb: Any) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def _panel(
    place: Panels, k: int, table: pd.DataFrame, method: str, depths: Mapping[str, Look]
) -> None:
    add_random(place, k, table)
    mine = select(table, source=method)
    for name, look in depths.items():
        rows = where(mine, [_name(cell) == name for cell in records(mine)])
        for quality, dash in (("coherent", "solid"), ("garbled", "dot")):
            if len(rows):
                add_line(place, k, rows.sort_values("dose_residual"), quality, dash, look)
    if mine.empty:
        say(place, k, "not searched")


def _name(cell: Cell) -> str:
    return OWN_RULE if absent(cell["share"]) else f"{cell['share']:g}"


def _axes(place: Panels, table: pd.DataFrame) -> None:
    doses = table["dose_residual"].astype(float).tolist()
    axis = log_axis(min(doses) / 1.25, max(doses) * 1.25)
    place.figure.update_xaxes(**axis)
    place.figure.update_yaxes(range=[-4, 104], tickvals=[0, 20, 60, 100])
    last = {col: row for row, col in place.at}
    for row, col in place.at:
        if col == 1:
            place.figure.update_yaxes(title_text="of answers, %", row=row, col=col)
        if row == last[col]:
            words = "dose, share of the residual norm"
            place.figure.update_xaxes(title_text=words, row=row, col=col)


def _lost(searched: pd.DataFrame) -> list[str]:
    lost = where(searched, ~(searched["dose_residual"].astype(float) > 0))
    names = ", ".join(plain(name) for name in values_of(lost, "model"))
    return [f"{_NO_DOSE}, not drawn: {names}"] * bool(names)


def _title(table: pd.DataFrame, looks: Mapping[str, Look]) -> str:
    """Whether the search had to go as far as it could."""
    parts = []
    for method, look in looks.items():
        mine = select(table, source=method)
        best = [_best(select(mine, model=model)) for model in values_of(mine, "model")]
        any_ = [(row, largest) for row, largest in best if row["coherent"] > 0]
        below = sum(row["dose"] < largest for row, largest in any_)
        parts.append(f"{look.label} in {below} of {len(any_)}")
    return f"Coherent refusals are most frequent below the largest dose: {', '.join(parts)} models"


def _best(rows: pd.DataFrame) -> tuple[Cell, float]:
    """A model's condition with the most coherent refusals, and the largest dose tried."""
    cells = records(rows)
    best = max(cells, key=lambda row: (row["coherent"], -row["dose"]))
    return best, max(row["dose"] for row in cells)


def _caption(table: pd.DataFrame) -> str:
    return (
        "Validation requests (benign, short answers), on which depth and dose are chosen: share "
        "of coherent refusals (solid) and garbled answers, refusals or not (dotted), n = "
        f"{n_range(table)} a point and therefore rough; no interval is drawn, and the highest of "
        "many points is high by selection (the title leaves out models without any coherent "
        "refusal). Ringed: depth and dose that were taken to the test requests, where "
        "everything is measured anew. Grey: coherent refusals of every random direction at "
        "every depth. A dose is the length of what is added, as a share of the residual "
        "stream's mean norm at that block."
    )

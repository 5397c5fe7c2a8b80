"""Trait against coherence: everything that was tried, and what was chosen."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from figures.marks import bars, numbers, padded_range
from figures.refusal.panels import panels, title_lines
from figures.rows import n_range, records, select, values_of, where
from figures.style import BLUE, GREY, VERMILLION, finish, grid, plain

COLOURS = {"mean_diff": BLUE, "probe": VERMILLION, "random": GREY, "shuffled": "#BBBBBB"}
NAMES = {"random": "random vector", "shuffled": "shuffled labels"}
SYMBOLS = {"all": "circle", "prompt": "diamond", "generated": "triangle-up"}
TOKENS = {"all": "all tokens", "prompt": "tokens of the prompt", "generated": "of the answer"}
SOUND = 70.0
WANTED = 30.0
COMPARED = (
    ("over_random", False, "circle", BLUE, "over random vectors there", 0.14),
    ("change", False, "circle", GREY, "over unsteered", -0.14),
    ("change", True, "circle-open", GREY, "over unsteered, a control", 0.0),
)
"""Quantity, whether of controls, and how it is drawn."""


def trait_and_coherence(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a source and position; a line joins what nothing beats in both."""
    table = where(tables["doses"], tables["doses"]["set"] != "none")
    parts = [str(name).rpartition(" ") for name in values_of(table, "set")]
    places = list(dict.fromkeys(place for place, _, _ in parts))
    place = panels(places, 2, 210)
    for k, name in enumerate(places):
        row, col = place.at[k]
        for method, colour in COLOURS.items():
            rows = select(table, set=f"{name} {method}")
            if not rows.empty:
                _tried(place.figure, rows, method, colour, row, col)
        place.figure.add_scatter(
            x=[SOUND, SOUND], y=[-4, 104], mode="lines", showlegend=False, hoverinfo="skip",
            line={"color": GREY, "width": 1, "dash": "dot"}, row=row, col=col,
        )  # fmt: skip
        place.figure.update_xaxes(range=[-4, 104], title_text="coherence", row=row, col=col)
        place.figure.update_yaxes(range=[-4, 104], row=row, col=col)
        if col == 1:
            place.figure.update_yaxes(title_text="trait", row=row, col=col)
    _legend(place.figure, table)
    return finish(place.figure, _title(table), _caption(table), room=title_lines(place.figure))


def _tried(
    figure: go.Figure, rows: pd.DataFrame, method: str, colour: str, row: int, col: int
) -> None:
    hover = [
        f"{NAMES.get(method, method)}: layer {r['layer']}, {TOKENS[r['steered']]}, dose "
        f"{r['dose']:.2f}: trait {r['trait']:.0f}, coherence {r['coherence']:.0f}"
        for r in records(rows)
    ]
    figure.add_scatter(
        x=numbers(rows["coherence"]), y=numbers(rows["trait"]), mode="markers",
        marker={"color": colour, "size": 6, "opacity": 0.6,
                "symbol": [SYMBOLS[kind] for kind in rows["steered"]]},
        text=hover, hoverinfo="text", legendgroup=method, showlegend=False, row=row, col=col,
    )  # fmt: skip
    best = select(rows, front=True).sort_values("coherence")
    figure.add_scatter(
        x=numbers(best["coherence"]), y=numbers(best["trait"]), mode="lines",
        line={"color": colour, "width": 1.6, "shape": "vh"}, legendgroup=method,
        showlegend=False, hoverinfo="skip", row=row, col=col,
    )  # fmt: skip


def _legend(figure: go.Figure, table: pd.DataFrame) -> None:
    """Marks that say what a colour and what a symbol is."""
    methods = {str(name).rpartition(" ")[2] for name in values_of(table, "set")}
    for method, colour in COLOURS.items():
        if method in methods:
            figure.add_scatter(
                x=[None], y=[None], mode="lines", name=NAMES.get(method, method),
                legendgroup=method, line={"color": colour, "width": 3},
            )  # fmt: skip
    for kind in values_of(table, "steered"):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=f"added to {TOKENS[kind]}",
            marker={"color": "#444444", "size": 8, "symbol": SYMBOLS[kind]},
        )  # fmt: skip


def _title(table: pd.DataFrame) -> str:
    sound = (table["coherence"] >= SOUND).to_numpy(bool)
    control = table["control"].to_numpy(bool)
    real, false = where(table, sound & ~control), where(table, sound & control)
    tops = [0.0 if t.empty else float(t["trait"].to_numpy(float).max()) for t in (real, false)]
    return (
        f"Searched: at a coherence of {SOUND:g} or more the trait reaches {tops[0]:.0f} with trait "
        f"vectors and {tops[1]:.0f} with controls"
    )


def _caption(table: pd.DataFrame) -> str:
    return (
        f"Mean ratings of answers to validation questions; each of the {len(table)} marks is one "
        "layer, kind of tokens and dose, and a line joins those that no other of its colour beats "
        f"in trait and coherence both. Dotted: a coherence of {SOUND:g}. The highest of many marks "
        "is high by being the highest: what was chosen is measured on test questions in the next "
        "figure."
    )


def effects(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Change of the trait on test questions, at the chosen layer and dose."""
    table = tables["effects"]
    least = float(table["threshold"].to_numpy(float).min())
    rows = select(table, threshold=least, quantity=("change", "over_random"))
    names = [str(name) for name in values_of(rows, "set")]
    places = {name: k for k, name in enumerate(reversed(names))}
    figure = grid(height=150 + 44 * len(names))
    _levels(figure, len(names))
    for quantity, control, symbol, colour, label, shift in COMPARED:
        mine = select(rows, quantity=quantity, control=control)
        figure.add_scatter(
            x=numbers(mine["estimate"]), y=[places[name] + shift for name in mine["set"].tolist()],
            error_x=bars(mine, colour), mode="markers", name=label,
            marker={"color": colour, "size": 8, "symbol": symbol},
            text=[_hover(row, label) for row in records(mine)], hoverinfo="text",
        )  # fmt: skip
    chosen = {str(row["set"]): row for row in records(select(rows, quantity="change"))}
    figure.update_yaxes(
        tickvals=list(places.values()), ticktext=[_chosen(chosen[name]) for name in places],
        range=[-0.6, len(names) - 0.4],
    )  # fmt: skip
    ends = padded_range(rows, -40, 100)
    figure.update_xaxes(title_text="points of the trait rating", range=ends)
    over = select(rows, quantity="over_random")
    low, p = over["low"].to_numpy(float), over["p_adjusted"].to_numpy(float)
    clear = int(((low > 0) & (p < 0.05)).sum())
    title = (
        f"On test questions {clear} of {len(over)} sets of vectors raise the trait over random "
        "vectors at the same layer and dose"
    )
    caption = (
        "Difference of mean ratings on test questions, at the layer, tokens and dose that "
        f"validation questions chose at a coherence of {least:g} or more (in grey, with the "
        f"coherence on test questions). Dotted: {WANTED:g} points. 95 % intervals over subjects "
        f"(n = {n_range(over)} questions): BCa, or Newcombe's where every question changes alike. "
        "Counted are intervals above 0 with a p below 0.05 (sign flips over subjects, "
        "Benjamini–Hochberg over sets; of n subjects that differ, n ≤ 12, none is below 2/2ⁿ). "
        "Controls were searched alike."
    )
    return finish(figure, title, caption)


def _levels(figure: go.Figure, n: int) -> None:
    """No change, and the change that the plan asks for."""
    for x, dash in ((0.0, "solid"), (WANTED, "dot")):
        figure.add_scatter(
            x=[x, x], y=[-0.6, n - 0.4], mode="lines", showlegend=False, hoverinfo="skip",
            line={"color": GREY, "width": 1, "dash": dash},
        )  # fmt: skip


def _hover(row: Mapping[str, Any], label: str) -> str:
    return (
        f"{plain(row['set'])}, {label}: {row['estimate']:.0f} [{row['low']:.0f}, "
        f"{row['high']:.0f}] ({plain(row['method'])})"
    )


def _chosen(row: Mapping[str, Any]) -> str:
    return (
        f"{plain(row['set'])}<br><span style='color:#777777'>layer {row['layer']:.0f}, "
        f"{TOKENS[row['steered']]}, dose {row['dose']:.2f}, coherence "
        f"{row['test_coherence']:.0f}</span>"
    )

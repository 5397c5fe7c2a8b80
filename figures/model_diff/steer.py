"""Trait against coherence: everything that was tried, and what was chosen."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.marks import bars, level_line, numbers
from figures.refusal.panels import panels, title_lines
from figures.rows import n_range, records, select, values_of, where
from figures.style import BLUE, GREY, VERMILLION, finish, grid, plain, wrap

COLOURS = {"mean_diff": BLUE, "probe": VERMILLION, "random": GREY, "shuffled": "#CCCCCC"}
NAMES = {"random": "random vector", "shuffled": "shuffled labels"}


def trait_and_coherence(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel a source and position."""
    table = where(tables["doses"], tables["doses"]["set"] != "none")
    parts = [str(name).rpartition(" ") for name in values_of(table, "set")]
    places = list(dict.fromkeys(place for place, _, _ in parts))
    place = panels(places, 2, 210)
    for k, name in enumerate(places):
        row, col = place.at[k]
        for method, colour in COLOURS.items():
            rows = select(table, set=f"{name} {method}")
            if rows.empty:
                continue
            hover = [
                f"layer {r['layer']}, dose {r['dose']:.2f}: trait {r['trait']:.0f}, coherence "
                f"{r['coherence']:.0f}"
                for r in records(rows)
            ]
            place.figure.add_scatter(
                x=numbers(rows["coherence"]), y=numbers(rows["trait"]), mode="markers",
                name=NAMES.get(method, method), legendgroup=method, showlegend=k == 0,
                marker={"color": colour, "size": 6, "opacity": 0.7}, text=hover, hoverinfo="text",
                row=row, col=col,
            )  # fmt: skip
        place.figure.update_xaxes(range=[-4, 104], title_text="coherence", row=row, col=col)
        place.figure.update_yaxes(range=[-4, 104], title_text="trait", row=row, col=col)
    real = where(table, ~table["control"].to_numpy(bool) & (table["coherence"] >= 70))
    false = where(table, table["control"].to_numpy(bool) & (table["coherence"] >= 70))
    tops = [0.0 if t.empty else float(t["trait"].to_numpy(float).max()) for t in (real, false)]
    title = (
        f"Searched: at a coherence of 70 or more the trait reaches {tops[0]:.0f} with trait "
        f"vectors and {tops[1]:.0f} with controls"
    )
    caption = (
        "Mean ratings of answers to validation questions; each mark is one layer and dose. The "
        "highest of many marks is high by being the highest: what was chosen is measured on test "
        "questions in the next figure."
    )
    return finish(place.figure, title, caption, room=title_lines(place.figure))


def effects(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Change of the trait on test questions, at the chosen layer and dose."""
    table = tables["effects"]
    least = float(table["threshold"].to_numpy(float).min())
    rows = select(table, threshold=least, quantity=("change", "over_random"))
    names = [str(name) for name in values_of(rows, "set")]
    figure = grid(height=150 + 34 * len(names))
    level_line(figure, 0.0, row=1, col=1)
    for quantity, colour, label in (
        ("change", GREY, "over unsteered"), ("over_random", BLUE, "over a random vector there"),
    ):  # fmt: skip
        mine = select(rows, quantity=quantity)
        figure.add_scatter(
            x=[wrap(plain(name), 18) for name in mine["set"].tolist()],
            y=numbers(mine["estimate"]), error_y=bars(mine, colour), mode="markers",
            marker={"color": colour, "size": 8}, name=label,
        )  # fmt: skip
    figure.update_yaxes(title_text="points of the trait rating")
    over = select(rows, quantity="over_random")
    clear = int((over["low"].to_numpy(float) > 0).sum())
    title = (
        f"On test questions {clear} of {len(over)} sets of vectors raise the trait over a random "
        "vector at the same layer and dose"
    )
    caption = (
        f"Difference of mean ratings, at the layer and dose that validation questions chose at a "
        f"coherence of {least:g} or more; 95 % BCa intervals over subjects (n = {n_range(over)} "
        "questions). Controls were searched alike."
    )
    return finish(figure, title, caption)

"""Base and instruct on the same response tokens: by layer, by position, and beside what steers."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.marks import add_line, layer_axis, level_line, numbers, padded_range
from figures.refusal.panels import panels, title_lines
from figures.rows import n_range, records, select, values_of
from figures.style import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    Look,
    decimal,
    finish,
    nothing,
    plain,
)

ARMS = {"raw": BLUE, "templated": VERMILLION}
NAMES = {"raw": "prompt as plain text", "templated": "templated prompt"}
MEASURES = {"cosine": "cosine of mean states", "centred": "the same, each model's mean taken off"}
TRAITS = (GREEN, PURPLE, VERMILLION, BLUE)
SHADES = ((0.0, (158, 202, 225)), (1.0, (8, 48, 107)))


def layers(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Both arms beside the response to another question."""
    table = select(tables["similarity"], scope="all")
    place = panels(list(MEASURES.values()), 2, 300)
    for k, measure in enumerate(MEASURES):
        row, col = place.at[k]
        level_line(place.figure, 0.0, row=row, col=col)
        for arm, colour in ARMS.items():
            for name, dash, more in (
                (measure, "solid", ""),
                (f"{measure}_other", "dot", ", other"),
            ):
                rows = select(table, arm=arm, measure=name)
                look = Look(f"{NAMES[arm]}{more}", colour, dash)
                add_line(place.figure, rows, look, "cosine", row=row, col=col, band=True,
                         legend=k == 0)  # fmt: skip
        shown = select(table, measure=(measure, f"{measure}_other"))
        layer_axis(place.figure, shown, row=row, col=col, most=7)
        place.figure.update_yaxes(range=padded_range(shown, 0.0, 1.0), row=row, col=col)
    place.figure.update_traces(marker_size=4, selector={"mode": "lines+markers"})
    return finish(place.figure, _profile(table), _about(table), room=title_lines(place.figure))


def _profile(table: pd.DataFrame) -> str:
    ends = []
    for measure in ("cosine", "cosine_other"):
        values = select(table, arm="raw", measure=measure)["estimate"].dropna().to_numpy(float)
        ends.append(
            f"{decimal(values.min(), 2)} to {decimal(values.max(), 2)}" if len(values) else "–"
        )
    return (
        f"On the same response base and instruct have cosines of {ends[0]} over the layers; with "
        f"the response to another question {ends[1]}"
    )


def _about(table: pd.DataFrame) -> str:
    n = n_range(select(table, measure="cosine"))
    return (
        f"Mean over n = {n} prompts; bands: 95 % BCa intervals over the questions' subjects. The "
        "base model reads the instruct model's response tokens behind the prompt as plain text "
        "(the plan's arm) or behind the very ids that the instruct model read. Dotted: the "
        "instruct model's response to another question of the same trait. Left, all states of a "
        "model share a mean that makes any two alike."
    )


def positions(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One panel an arm, one line a layer."""
    table = tables["positions"]
    place = panels([NAMES[arm] for arm in ARMS], 2, 300)
    own = select(table, measure="cosine")
    kept = values_of(own, "layer")
    for k, arm in enumerate(ARMS):
        row, col = place.at[k]
        for n, layer in enumerate(kept):
            rows = select(own, arm=arm, layer=layer).sort_values("position")
            place.figure.add_scatter(
                x=rows["position"].tolist(), y=numbers(rows["estimate"]), mode="lines+markers",
                name=f"layer {layer}", legendgroup=str(layer), showlegend=k == 0,
                line={"color": _shade(n, len(kept)), "width": 1.6}, marker={"size": 4},
                row=row, col=col,
            )  # fmt: skip
        other = select(table, arm=arm, measure="cosine_other")
        for n, layer in enumerate(kept):
            rows = select(other, layer=layer).sort_values("position")
            place.figure.add_scatter(
                x=rows["position"].tolist(), y=numbers(rows["estimate"]), mode="lines",
                name="another question's", legendgroup="other", showlegend=k == n == 0,
                line={"color": GREY, "width": 0.8, "dash": "dot"}, row=row, col=col,
            )  # fmt: skip
        place.figure.update_xaxes(title_text="response token", row=row, col=col)
        place.figure.update_yaxes(range=padded_range(table, 0.0, 1.0), row=row, col=col)
    counts = own["n"].astype(int)
    title = (
        f"The same token in both models, arm raw: cosines of {_ends(own, min)} over the layers at "
        f"the first token, {_ends(own, max)} at token {own['position'].max() + 1}"
    )
    caption = (
        f"Mean cosine over prompts, n = {counts.max()} at the first token and {counts.min()} at "
        "the last one shown; positions end where fewer than the asked share of responses reach. "
        "Darker: deeper. Dotted: the same position of the response to another question, layer by "
        "layer."
    )
    return finish(place.figure, title, caption, room=title_lines(place.figure))


def _ends(own: pd.DataFrame, which: Callable[[list[int]], int]) -> str:
    """Lowest and highest layer at the first or last position."""
    rows = select(own, arm="raw", position=which(values_of(own, "position")))
    values = rows["estimate"].to_numpy(float)
    return f"{decimal(values.min(), 2)} to {decimal(values.max(), 2)}"


def _shade(n: int, of: int) -> str:
    share = n / max(1, of - 1)
    (_, light), (_, dark) = SHADES
    parts = (round(a + share * (b - a)) for a, b in zip(light, dark, strict=True))
    return f"rgb({','.join(map(str, parts))})"


def transfer(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Similarity against the change that the best natural vector brings, one mark a layer."""
    curves = select(tables["transfer"], status="ok")
    if curves.empty:
        reason = tables["transfer"]["reason"].tolist()[0]
        return nothing("No figure “transfer”", f"no trait has a transfer curve: {reason}")
    place = panels(list(MEASURES.values()), 2, 280)
    alike = select(tables["similarity"], scope="all", arm="raw")
    for k, measure in enumerate(MEASURES):
        row, col = place.at[k]
        mine = select(alike, measure=measure)
        known = dict(zip(mine["layer"].tolist(), mine["estimate"].tolist(), strict=True))
        for n, trait in enumerate(values_of(curves, "trait")):
            rows = select(curves, trait=trait).sort_values("layer")
            colour = TRAITS[n % len(TRAITS)]
            place.figure.add_scatter(
                x=numbers(known[int(r["layer"])] for r in records(rows)), y=numbers(rows["delta"]),
                mode="lines+markers", hovertext=[f"layer {k:.0f}" for k in rows["layer"]],
                name=plain(trait), legendgroup=str(trait), showlegend=k == 0,
                line={"color": colour, "width": 0.8, "dash": "dot"},
                marker={"color": colour, "size": 8}, row=row, col=col,
            )  # fmt: skip
        place.figure.update_xaxes(title_text=MEASURES[measure], row=row, col=col)
    place.figure.update_yaxes(title_text="points of the trait rating", row=1, col=1)
    found = select(tables["correlations"], arm="raw", measure="cosine", status="ok")
    said = "; ".join(
        f"{plain(str(r['with']).removeprefix('transfer '))} {decimal(r['pearson_r'], 2)}"
        for r in records(found)
        if str(r["with"]).startswith("transfer ")
    )
    title = f"Similarity and transfer, layer by layer: Pearson r {said or 'is not known'}"
    caption = (
        "Up: highest mean rating that a vector of the base model's own responses brings to the "
        "instruct model's answers to validation questions, over the unsteered ones, at a coherence "
        "of the threshold or more. Dotted lines go from layer to layer. Neighbouring layers are "
        "alike, so these are fewer independent points than they look."
    )
    return finish(place.figure, title, caption, room=title_lines(place.figure))

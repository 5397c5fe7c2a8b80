"""Figures of the steering analysis show what their tables hold, and their titles count it."""

import itertools
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from figures.alignment_steering import OF_STEP, figures, gallery

Tables = dict[str, pd.DataFrame]
MODELS = ("one", "two")
READOUTS = ("refusal", "compliance", "preference", "nll", "separation_last")
NOTHING = pd.DataFrame(columns=["what", "id", "reason"])  # pyright: ignore[reportArgumentType] # stub


def title(figure: go.Figure) -> str:
    return str(figure.layout.title.text).replace("<br>", " ")


def said(figure: go.Figure) -> str:
    return " ".join(str(note.text) for note in figure.layout.annotations).replace("<br>", " ")


def named(figure: go.Figure, name: str) -> list[Any]:
    return [trace for trace in figure.data if trace.name == name]


# --- validate -------------------------------------------------------------------------------------


def condition(model: str, vector: str, strength: float, level: float) -> dict[str, Any]:
    found = {"model": model, "vector": vector, "strength": strength}
    for name in READOUTS:
        ends = {f"{name}_low": level - 0.05, f"{name}_high": level + 0.05}
        found |= {name: level, **ends, f"{name}_n": 24}
    return found


def validated(last: float = 0.5) -> Tables:
    """Model `one`: at λ = 1 the mean vector gives 0.8, random ones 0.1. `two`: all 0.1."""
    rows = []
    for model in MODELS:
        rows.append(condition(model, "none", 0.0, 0.1))
        rows.append(condition(model, "instruct", 0.0, 0.95))
        for strength in (-1.0, 1.0):
            high = 0.8 if model == "one" and strength > 0 else 0.1
            rows.append(condition(model, "mean", strength, high))
            rows += [condition(model, f"random {k}", strength, 0.1) for k in range(3)]
    effects = [
        {"model": model, "vector": "mean", "readout": readout, "quantity": quantity,
         "estimate": value, "low": value - 0.2, "high": value + 0.2, "status": "ok", "reason": ""}
        for model, value in zip(MODELS, (0.7, 0.0), strict=True)
        for readout in READOUTS for quantity in ("change", "over_random")
    ]  # fmt: skip
    pairs = [
        {"model": model, "potential": 0.3, "cosine": 0.7, "measured": last, "measured_low": 0.2,
         "measured_high": 0.6, "what": "coherent refusals", "reason": ""}
        for model in MODELS
    ]  # fmt: skip
    return {
        "conditions": pd.DataFrame(rows),
        "effects": pd.DataFrame(effects),
        "capability": pd.DataFrame([{"model": "one"}]),
        "ranking": pd.DataFrame(pairs),
        "missing": NOTHING,
    }


def test_behaviour_is_drawn_in_per_cent_and_counted_over_random() -> None:
    figure = figures(validated())["behaviour"]
    assert "in 1 of 2 pairs" in title(figure)
    mean = named(figure, "mean vector")
    assert [list(trace.y) for trace in mean] == [[10, 10, 80], [10, 10, 10]]
    assert [round(x) for x in mean[0].x] == [-1, 0, 1]
    assert mean[0].error_y.array[-1] == pytest.approx(5)
    randoms = [trace for trace in figure.data if str(trace.name).startswith("random ")]
    assert len([t for t in randoms if t.x != (None,)]) == 6
    ceilings = [shape.y0 for shape in figure.layout.shapes if shape.line.dash == "dash"]
    assert ceilings == [95, 95]
    assert "n = 24" in figure.layout.meta["caption"]


def test_what_steering_breaks_is_in_the_titles() -> None:
    drawn = figures(validated())
    assert "by 0 points" in title(drawn["compliance"])
    assert "0.00 to 0.70 nats" in title(drawn["neutral"])
    assert "in 1 of 2 pairs" in title(drawn["preference"])
    assert "in 1 of 2 pairs" in title(drawn["separation"])
    assert list(named(drawn["preference"], "mean vector")[0].y) == [0.1, 0.1, 0.8]


def test_the_ranking_shows_what_was_measured_only_where_it_was() -> None:
    both = figures(validated())["ranking"]
    assert "measured, 2 of 2 vectors do more than random ones" in title(both)
    assert [list(trace.y) for trace in both.data] == [[0.3, 0.3], [0.5, 0.5]]
    tables = validated()
    tables["ranking"]["measured_low"] = [0.2, -0.1]
    assert "measured, 1 of 2 vectors" in title(figures(tables)["ranking"])
    tables["ranking"]["measured"] = None
    alone = figures(tables)["ranking"]
    assert "not measured yet" in title(alone) and len(alone.data) == 1


def test_a_failed_pair_is_named_beneath() -> None:
    tables = validated()
    tables["missing"] = pd.DataFrame([{"what": "model", "id": "three", "reason": "no <memory>"}])
    assert all(
        "three" in said(figure) and "<memory>" not in said(figure)
        for figure in figures(tables).values()
    )


# --- extract --------------------------------------------------------------------------------------


def extracted() -> Tables:
    """Lengths rise in `one` and fall in `two`; cosines fall from 0.9."""
    rows = []
    quantities = ("cosine_of_means", "mean_cosine", "halves_cosine", "coherence_across", "norm")
    for model, quantity, layer in itertools.product(MODELS, quantities, range(4)):
        length = layer + 1.0 if model == "one" else 4.0 - layer
        value = length if quantity == "norm" else 0.9 - 0.1 * layer
        rows.append(
            {"model": model, "quantity": quantity, "data": "chosen", "layer": layer,
             "estimate": value, "low": value - 0.01, "high": value + 0.01, "n": 12,
             "n_layers": 4, "depth_percent": 25 * (layer + 1), "status": "ok", "reason": ""}
        )  # fmt: skip
    shares = [
        {"model": model, "layer": layer, "component": k, "centred": centred, "uncentred": around}
        for model in MODELS
        for layer in range(4)
        for k, (centred, around) in enumerate(((0.2, 0.9 if layer else 0.5), (0.1, 0.05)))
    ]
    pairs = [
        {"model": m, "n_layers": 4, "d_model": d, "status": "ok"}
        for m, d in zip(MODELS, (8, 9), strict=True)
    ]
    return {
        "layers": pd.DataFrame(rows),
        "variance": pd.DataFrame(shares),
        "pairs": pd.DataFrame(pairs),
        "ranking": validated()["ranking"].assign(measured=None),
        "missing": NOTHING,
    }


def test_each_step_has_its_own_figures() -> None:
    assert gallery(extracted()) is OF_STEP["variance"]
    assert gallery(validated()) is OF_STEP["capability"]
    assert set(figures(extracted())) == {"cosines", "norms", "variance", "ranking", "dimensions"}


def test_layers_are_drawn_in_order_and_spans_are_told() -> None:
    drawn = figures(extracted())
    assert "cosine of means 0.60 to 0.90" in title(drawn["cosines"])
    lines = [t for t in named(drawn["cosines"], "mean states, chosen answers") if t.fill is None]
    assert [pytest.approx([0.9, 0.8, 0.7, 0.6]) for _ in lines] == [list(t.y) for t in lines]
    assert len(lines) == 2
    assert "longest at the last layer in 1 of 2 pairs" in title(drawn["norms"])


def test_variance_is_a_mean_over_layers_with_their_range() -> None:
    figure = figures(extracted())["variance"]
    assert "One component holds 80 %" in title(figure) and "their mean 20 %" in title(figure)
    line = named(figure, "around zero (uncentred)")[0]
    assert list(line.y) == pytest.approx([80, 5])
    band = figure.data[list(figure.data).index(line) - 1]
    assert list(band.y) == pytest.approx([50, 5, 5, 90])


def test_dimensions_are_counted() -> None:
    figure = figures(extracted())["dimensions"]
    assert "1 different depths and 2 different widths" in title(figure)
    assert [list(trace.y) for trace in figure.data] == [[4, 4], [8, 9]]


# --- transfer -------------------------------------------------------------------------------------


def transferred() -> Tables:
    """one → two gains 0.4 over every control, two → one 0.1 and not over shuffled pairings."""
    gains = {("one", "two"): 0.4, ("two", "one"): 0.1}
    about = {"strength": 1.0, "readout": "preference", "base": 0.0, "n": 8, "reason": ""}
    cells = [
        {"source": s, "target": t, "vector": "carried", "map": "ridge", "estimate": gain,
         "low": gain - 0.1, "high": gain + 0.1, "level": gain, **about}
        for (s, t), gain in gains.items()
    ]  # fmt: skip
    for vector, gain in (("own", 0.6), ("instruct", 0.9)):
        cells += [
            {**cells[0], "source": m, "target": m, "vector": vector, "map": "none",
             "estimate": gain, "low": gain - 0.1, "high": gain + 0.1, "level": gain}
            for m in MODELS
        ]  # fmt: skip
    controls = [
        {"source": s, "target": t, "map": "ridge", "strength": 1.0, "readout": "preference",
         "control": control, "low": 0.1 if (s, control) != ("two", "shuffled") else -0.1}
        for s, t in gains for control in ("shuffled", "random vector")
    ]  # fmt: skip
    cosines = [
        {"source": s, "target": t, "map": "ridge", "layer": -1, "estimate": c, "null_low": -0.1,
         "null_high": 0.1, "p": p, "p_adjusted": p}
        for (s, t), c, p in zip(gains, (0.5, 0.05), (0.01, 0.6), strict=True)
    ]  # fmt: skip
    return {
        "transfer": pd.DataFrame(cells),
        "transfer_over_controls": pd.DataFrame(controls),
        "transfer_cosines": pd.DataFrame(cosines),
    }


def test_a_cell_stands_in_the_row_of_its_source() -> None:
    figure = figures(transferred())["transfer_matrix"]
    (heat,) = figure.data
    columns = [str(name).split("<br>")[0] for name in heat.x]
    at = {
        (source, target): (heat.y.tolist().index(source), columns.index(target))
        if hasattr(heat.y, "tolist")
        else (list(heat.y).index(source), columns.index(target))
        for source in MODELS
        for target in MODELS
    }
    values = {cell: heat.z[r][c] for cell, (r, c) in at.items()}
    assert values == {
        ("one", "one"): 0.6, ("one", "two"): 0.4, ("two", "one"): 0.1, ("two", "two"): 0.6
    }  # fmt: skip
    texts = {cell: heat.text[r][c] for cell, (r, c) in at.items()}
    assert "<b>" in texts["one", "two"] and "<b>" not in texts["two", "one"]
    assert "(tuned: 0.90)" in str(heat.x[0])
    assert "in 1 of 2 comparisons" in title(figure)


def test_more_than_controls_that_lose_is_not_a_gain() -> None:
    """Controls can fall below 0: then a vector that does nothing beats every one of them."""
    tables = transferred()
    table = tables["transfer"]
    table.loc[(table["vector"] == "carried") & (table["source"] == "one"), "low"] = -0.05
    figure = figures(tables)["transfer_matrix"]
    assert "in 0 of 2 comparisons" in title(figure)


def test_cosines_above_chance_are_counted_after_correction() -> None:
    figure = figures(transferred())["transfer_cosines"]
    assert "in 1 of 2 (cells, maps)" in title(figure)
    bold = [text for line in figure.data[0].text for text in line if "<b>" in text]
    assert len(bold) == 1 and "0.50" in bold[0] and "chance<br>−0.10 to 0.10" in bold[0]


def test_a_cell_without_a_value_says_so() -> None:
    tables = transferred()
    table = tables["transfer"]
    lost = (table["vector"] == "carried") & (table["source"] == "two")
    table.loc[lost, ["estimate", "low", "high", "level"]] = None
    table.loc[lost, "reason"] = "the base is garbled"
    figure = figures(tables)["transfer_matrix"]
    assert "no value: two → one: the base is garbled" in said(figure)
    assert any("undefined" in text for line in figure.data[0].text for text in line)

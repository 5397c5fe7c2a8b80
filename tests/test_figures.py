"""Figures show the numbers of their table, and say what they cannot show."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

LAYERS = (5, 6, 7)
N_LAYERS = 8
CONDITIONS = ("patched", "passive", "freeze_mlp", "freeze_norm", "other_plain", "random_residual")
HOSTILE = "<script>alert(1)</script><b>bold</b>"


def cells(estimate: float, width: float | None, n: int = 9, why: str = "") -> dict[str, Any]:
    """A row's estimate with its interval; `width` None means that there is none."""
    low, high = (math.nan, math.nan) if width is None else (estimate - width, estimate + width)
    status = "missing" if why else "ok"
    return {
        "estimate": estimate,
        "low": low,
        "high": high,
        "n": n,
        "status": status,
        "reason": why or math.nan,
    }


def place(layer: int) -> dict[str, Any]:
    return {"layer": layer, "depth_percent": 100 * layer / N_LAYERS}


def recovery_table() -> pd.DataFrame:
    rows = []
    for c, condition in enumerate(CONDITIONS):
        for layer in LAYERS:
            where = {"readout": "r_v", "condition": condition, **place(layer)}
            where |= {"definitional": layer == LAYERS[0]}
            size = cells(0.9 - 0.05 * c - 0.2 * (layer - 5), 0.03)
            rows.append(where | {"quantity": "mean_absolute_change"} | size)
            recovered = cells(0.3 * (layer - 5) - 0.01 * c, 0.05)
            if condition == "random_residual":
                recovered = cells(math.nan, None, why="the push comes behind the values")
            elif condition == "freeze_norm" and layer == 6:
                recovered |= cells(recovered["estimate"], None, why="no spread")
            rows.append(where | {"quantity": "recovery"} | recovered)
            excess = cells(0.02 * c, 0.01)
            rows.append(where | {"quantity": "excess_recovery"} | excess)
    return pd.DataFrame(rows)


def mechanism_table() -> pd.DataFrame:
    rows = []
    for component, side in (("mlp", "frozen"), ("mlp", "released"), ("norm", "frozen")):
        for layer in LAYERS[1:]:
            row = {"component": component, **place(layer), "analysis": "contribution", "side": side}
            rows.append(row | cells(0.05 * layer, 0.02) | {"p": 0.01, "p_adjusted": 0.02})
    for component, spearman in (("mlp_expansion", -0.7), ("residual_pr", math.nan)):
        for layer in LAYERS[1:]:
            why = "covariate is constant" if math.isnan(spearman) else ""
            row = {"component": component, **place(layer), "analysis": "association", "side": ""}
            row |= cells(spearman, None) | {"status": "missing" if why else "ok", "reason": why}
            p = math.nan if why else 0.04
            rows.append(row | {"p": p, "p_adjusted": p, "pearson": spearman, "spearman": spearman})
    return pd.DataFrame(rows)


def hypothesis_table() -> pd.DataFrame:
    rows = []
    for name, estimate, verdict in (
        ("mlp_compensation", 0.21, "supported"),
        ("attention_compensation", 0.01, "equivalent to none"),
        ("norm_compensation", math.nan, "undecided"),
        ("residual_balancing", -0.3, "opposite"),
    ):
        why = "freeze_norm was not measured" if math.isnan(estimate) else ""
        row = {"hypothesis": name, "statement": f"{name} brings R_V back", "effect": "a − b"}
        row |= {"readout": "r_v", "layer": 7} | cells(estimate, None if why else 0.04, why=why)
        released = (
            cells(0.11, 0.02) if name == "mlp_compensation" else cells(math.nan, None, why="none")
        )
        row |= {f"released_{key}": value for key, value in released.items()}
        rows.append(row | {"p_adjusted": 0.01, "equivalence_p_adjusted": 0.9, "verdict": verdict})
    return pd.DataFrame(rows)


def layer_table(n: int = 6) -> pd.DataFrame:
    rows = []
    for i in range(n):
        for condition in ("patched", "passive", "random_residual"):
            for layer in LAYERS:
                row = {"pair_index": i, "condition": condition, **place(layer)}
                row |= {"delta_log_mlp_expansion": 0.01 * i + 0.1 * layer}
                row |= {"delta_attention_entropy": 0.0 if layer == 5 else 0.01 * i}
                rows.append(row | {"delta_log_residual_norm": math.nan if i == 0 else 0.02 * i})
    return pd.DataFrame(rows)


def timing_table() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for condition, probabilities in (("patched", (0.2, 0.7, 0.1)), ("passive", (0.0, 0.4, 0.6))):
        for first, p in zip((6, 7, "none"), probabilities, strict=True):
            row = {"condition": condition, "first_layer": first, "probability": p, "n": 9}
            row |= {"observed": p == max(probabilities), "threshold": 0.5}
            rows.append(row | {"status": "ok", "reason": ""})
    why = "the push comes behind the values"
    rows.append({"condition": "random_residual", "status": "missing", "reason": why})
    return pd.DataFrame(rows)


def profile_table(n: int = 5) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"pair_index": i, "prompt_id": f"{kind}{i}", "kind": kind, **place(layer)}
            | {"pr_value": 1.0, "r_v": 1.0 if layer == 1 else 1 - 0.1 * layer + 0.01 * i}
            for i in range(n)
            for kind in ("plain", "recursive")
            for layer in range(N_LAYERS)
        ]
    )


def pair_table() -> pd.DataFrame:
    changes = [(0.5, 0.1), (-0.2, 0.4), (0.3, 0.0), (math.nan, 0.1)]
    return pd.DataFrame(
        [
            {"pair_index": i, "target_id": f"t{i}", "donor_id": HOSTILE}
            | {"delta_log_r_v_L5": a, "delta_log_r_v_L6": 0.1, "delta_log_r_v_L7": b}
            for i, (a, b) in enumerate(changes)
        ]
    )


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return {
        "recovery": recovery_table(),
        "mechanisms": mechanism_table(),
        "hypotheses": hypothesis_table(),
        "layers": layer_table(),
        "timing": timing_table(),
        "profile": profile_table(),
        "pairs": pair_table(),
    }


@pytest.fixture(scope="module")
def drawn(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    from figures.homeostasis import figures

    return figures(tables)


def traces(figure: Any, beginning: str) -> list[Any]:
    return [t for t in figure.data if str(t.name).startswith(beginning) and t.mode != "lines"]


def notes(figure: Any) -> str:
    return " ".join(a.text for a in figure.layout.annotations if a.name == "notes").replace(
        "<br>", " "
    )


def expected(table: pd.DataFrame, quantity: str, condition: str) -> pd.DataFrame:
    from figures.rows import select

    return select(table, quantity=quantity, condition=condition).sort_values("layer")


def test_every_figure_has_a_title_a_caption_and_readable_letters(drawn: Mapping[str, Any]) -> None:
    assert list(drawn) == [
        "hypotheses",
        "recovery",
        "change",
        "contributions",
        "mechanisms",
        "associations",
        "timing",
        "profile",
        "pairs",
    ]
    for figure in drawn.values():
        assert len(figure.layout.title.text) > 20
        caption = figure.layout.meta["caption"]
        assert "interval" in caption.lower() and any(c.isdigit() for c in caption)
        sizes = [a.font.size for a in figure.layout.annotations if a.font.size]
        assert min(sizes, default=12) >= 12


def test_recovery_shows_the_numbers_of_the_table(drawn: Any, tables: Any) -> None:
    for condition in ("patched", "freeze_mlp"):
        left, right = traces(drawn["recovery"], f"{condition}:")
        for trace, quantity in ((left, "recovery"), (right, "excess_recovery")):
            rows = expected(tables["recovery"], quantity, condition).iloc[1:]
            assert list(trace.y) == rows["estimate"].tolist()
    bars = traces(drawn["recovery"], "freeze_mlp:")[0].error_y
    rows = expected(tables["recovery"], "recovery", "freeze_mlp").iloc[1:]
    assert list(bars.array) == (rows["high"] - rows["estimate"]).tolist()
    assert list(bars.arrayminus) == (rows["estimate"] - rows["low"]).tolist()
    band = next(t for t in drawn["recovery"].data if "passive" in t.name and t.fill == "toself")
    rows = expected(tables["recovery"], "recovery", "passive").iloc[1:]
    assert list(band.y) == [*rows["low"], *rows["high"].iloc[::-1]]


def test_the_patch_layer_is_hollow_and_labelled_as_a_definition(drawn: Any) -> None:
    definition = traces(drawn["recovery"], "0 by definition")[0]
    assert list(definition.x) == [5] and list(definition.text) == ["0 by definition"]
    assert definition.marker.symbol == "circle-open"
    assert 5 not in traces(drawn["recovery"], "patched:")[0].x


def test_change_shows_the_numbers_of_the_table(drawn: Any, tables: Any) -> None:
    for condition in CONDITIONS:
        rows = expected(tables["recovery"], "mean_absolute_change", condition)
        found = traces(drawn["change"], f"{condition}:")
        assert found
        assert all(list(trace.y) == rows["estimate"].tolist() for trace in found)


def test_a_change_of_zero_is_named_and_does_not_stretch_the_log_axis() -> None:
    from figures.homeostasis import figures

    table = recovery_table()
    checks = table[table["condition"] == "patched"].assign(condition="self", estimate=1e-9)
    checks[["low", "high"]] = math.nan
    figure: Any = figures({"recovery": pd.concat([table, checks])})["change"]
    assert not traces(figure, "self:")
    assert "too small for the axis (1e−09 at most): self (layer 5–7)" in notes(figure)
    smallest = table[table["quantity"] == "mean_absolute_change"][["estimate", "low"]].min().min()
    low, high = figure.layout.yaxis.range
    assert math.log10(smallest) - 0.2 < low < math.log10(smallest)
    assert 0 < high - math.log10(0.93) < 0.2


def test_a_missing_interval_is_not_drawn_as_zero_but_named(drawn: Any) -> None:
    trace = traces(drawn["recovery"], "freeze_norm:")[0]
    assert list(trace.error_y.array)[0] is None and list(trace.error_y.arrayminus)[0] is None
    assert trace.marker.symbol[0].endswith("-open-dot")
    assert not trace.marker.symbol[1].endswith("-open-dot")
    assert "no interval: freeze_norm (layer 6): no spread" in notes(drawn["recovery"])
    assert "no interval: no spread" in trace.hovertext[0]


def test_a_missing_estimate_is_not_drawn_at_all() -> None:
    from figures.homeostasis import figures

    table = recovery_table()
    gone = (table["condition"] == "passive") & (table["layer"] == 6)
    table.loc[gone, ["estimate", "low", "high"]] = math.nan
    table.loc[gone, ["status", "reason"]] = ["missing", "denominator at its floor"]
    figure: Any = figures({"recovery": table})["recovery"]
    assert list(traces(figure, "passive:")[0].y) == [None, pytest.approx(0.59)]
    left = [t for t in figure.data if "passive" in t.name and t.xaxis == "x"]
    bands = [t for t in left if t.fill == "toself"]
    assert [list(band.x) for band in bands] == [[7, 7]], "the band has a gap, not a dip to zero"
    assert "no recovery: passive (layer 6): denominator at its floor" in notes(figure)


def test_hypotheses_show_effects_released_sides_margin_and_verdicts(drawn: Any) -> None:
    figure = drawn["hypotheses"]
    filled = {t.name: t.x[0] for t in figure.data if t.error_x.array is not None}
    assert filled == {
        "mlp_compensation": 0.21,
        "mlp_compensation released": 0.11,
        "attention_compensation": 0.01,
        "residual_balancing": -0.3,
    }
    released = next(t for t in figure.data if t.name == "mlp_compensation released")
    assert released.marker.symbol == "circle-open"
    assert [(s.x0, s.x1) for s in figure.layout.shapes if s.type == "rect"] == [(-0.1, 0.1)]
    said = " ".join(a.text.replace("<br>", " ") for a in figure.layout.annotations)
    for verdict in ("supported", "equivalent to none", "undecided", "opposite"):
        assert f"<b>{verdict}</b>" in said
    assert "0.210 [0.170, 0.250]" in said and "freeze_norm was not measured" in said
    assert figure.layout.title.text.startswith("1 of 4 hypotheses is supported")


def test_contributions_keep_their_sides_apart(drawn: Any) -> None:
    frozen, released = (traces(drawn["contributions"], f"MLPs, {s}")[0] for s in ("fro", "rel"))
    assert list(frozen.y) == list(released.y) == [0.05 * 6, 0.05 * 7]
    assert set(frozen.marker.symbol) == {"circle"}
    assert set(released.marker.symbol) == {"circle-open"}


def test_mechanisms_show_means_over_the_pairs_that_have_a_value(drawn: Any) -> None:
    figure = drawn["mechanisms"]
    expansion, entropy, norm = traces(figure, "patched:")
    assert list(expansion.y) == pytest.approx([0.1 * layer + 0.025 for layer in LAYERS])
    # 0, 0.01 … 0.05: SD 0.0187, t(5) = 2.571, half width 2.571 · 0.0187 / √6.
    assert list(expansion.error_y.array) == pytest.approx([0.019634] * 3, abs=1e-5)
    assert entropy.error_y.array[0] is None and entropy.y[0] == 0.0
    assert list(norm.y) == pytest.approx([0.06] * 3), "mean of the five that are there"
    assert "undefined values are left out of the means" in notes(figure)
    assert "the same value in all 6: 0" in notes(figure)


def test_associations_leave_missing_cells_grey_with_their_reason(drawn: Any) -> None:
    missing, found = drawn["associations"].data
    assert [list(row) for row in found.z] == [[-0.7, -0.7], [None, None]]
    assert [list(row) for row in missing.z] == [[None, None], [0.0, 0.0]]
    assert "covariate is constant" in missing.hovertext[1][0]
    written = [a.text for a in drawn["associations"].layout.annotations if a.name != "notes"]
    assert written == ["<b>−0.70*</b>"] * 2 + ["missing"] * 2


def test_timing_bars_are_the_probabilities_none_included(drawn: Any) -> None:
    bars = {bar.name: dict(zip(bar.y, bar.x, strict=True)) for bar in drawn["timing"].data}
    assert bars == {
        "6": {"patched": 0.2, "passive": 0.0},
        "7": {"patched": 0.7, "passive": 0.4},
        "none": {"patched": 0.1, "passive": 0.6},
    }
    assert "random_residual: the push comes behind" in notes(drawn["timing"])


def test_profile_marks_the_layers_that_the_tables_tell(drawn: Any) -> None:
    figure = drawn["profile"]
    assert [s.x0 for s in figure.layout.shapes] == [1, 5]
    plain = traces(figure, "plain")[0]
    assert plain.y[0] == pytest.approx(1.02) and plain.y[1] == 1.0


def test_pairs_are_all_drawn_or_counted(drawn: Any) -> None:
    diagonal, points = drawn["pairs"].data
    assert list(diagonal.x) == list(diagonal.y)
    assert (list(points.x), list(points.y)) == ([0.5, 0.2], [0.1, 0.4])
    assert "1 of 4 pairs have no value" in notes(drawn["pairs"])
    assert "1 pairs with a change of exactly 0" in notes(drawn["pairs"])
    assert drawn["pairs"].layout.title.text.startswith("In 2 of 3 pairs")


def test_a_condition_looks_the_same_in_every_figure(drawn: Mapping[str, Any]) -> None:
    looks: dict[str, set[tuple[str, str, str]]] = {}
    for figure in drawn.values():
        for trace in figure.data:
            if trace.type == "scatter" and trace.mode == "lines+markers" and ":" in trace.name:
                symbol = str(trace.marker.symbol[-1]).removesuffix("-open-dot")
                looks.setdefault(trace.name, set()).add((trace.line.color, trace.line.dash, symbol))
    assert len(looks) == len(CONDITIONS)
    assert all(len(variants) == 1 for variants in looks.values())


def test_no_two_conditions_look_alike() -> None:
    from figures.homeostasis.looks import LOOKS

    looks = {(look.colour, look.dash, look.symbol) for look in LOOKS.values()}
    assert len(looks) == len(LOOKS)


def test_every_condition_and_the_margin_of_the_analysis_have_their_look() -> None:
    from analyses.homeostasis import hypotheses
    from analyses.homeostasis.conditions import CONDITIONS as MEASURED
    from analyses.homeostasis.conditions import SAME_AS
    from figures.homeostasis.looks import LOOKS, MARGIN

    assert set(LOOKS) == {*MEASURED, *SAME_AS}
    assert MARGIN == hypotheses.MARGIN


def test_text_of_a_table_never_becomes_markup(drawn: Any) -> None:
    points = drawn["pairs"].data[1]
    assert "<script>" not in points.hovertext[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;b&gt;" in points.hovertext[0]


@pytest.mark.parametrize("absent", ["recovery", "mechanisms", "layers", "profile", "everything"])
def test_absent_or_empty_tables_are_named_in_place_of_the_figure(absent: str, tables: Any) -> None:
    from figures.homeostasis import FIGURES, figures

    lacking = set(tables) if absent == "everything" else {absent}
    for kept in ({}, {name: tables[name].iloc[:0] for name in lacking}):
        found: dict[str, Any] = figures(
            {k: v for k, v in tables.items() if k not in lacking} | kept
        )
        assert list(found) == list(FIGURES)
        for name, (_, needed) in FIGURES.items():
            said = " ".join(str(a.text) for a in found[name].layout.annotations)
            assert ("is absent or has no rows" in said) == bool(lacking & set(needed))


def test_forty_layers_have_no_more_ticks_than_fit(tables: Any) -> None:
    from figures.homeostasis import figures

    rows = [
        {"readout": "r_v", "condition": c, "layer": layer, "depth_percent": layer / 0.8}
        | {"definitional": layer == 40, "quantity": quantity}
        | cells(0.5, 0.1)
        for c in ("patched", "passive")
        for layer in range(40, 80)
        for quantity in ("recovery", "mean_absolute_change")
    ]
    figure: Any = figures({"recovery": pd.DataFrame(rows)})["recovery"]
    assert figure.layout.xaxis.tickvals[-1] == 79
    assert len(figure.layout.xaxis.tickvals) <= 6
    assert figure.layout.xaxis.ticktext[-1] == "79<br>99 %"


def test_one_endless_interval_does_not_flatten_the_axis() -> None:
    from figures.marks import padded_range

    table = pd.DataFrame([cells(0.4, 0.1), cells(0.2, 500.0)])
    low, high = padded_range(table, 0, 1, within=2)
    assert -0.2 < low < 0 and 1 < high < 1.2


def test_an_interval_that_runs_beyond_the_axis_is_named() -> None:
    from figures.homeostasis import figures

    table = hypothesis_table()
    table.loc[table["hypothesis"] == "residual_balancing", "low"] = -400.0
    figure: Any = figures({"hypotheses": table})["hypotheses"]
    assert figure.layout.xaxis.range[0] > -1
    assert "runs beyond the axis (its ends are at the right): residual_balancing" in notes(figure)

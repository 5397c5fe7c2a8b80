"""Figures show the numbers of their table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest
from homeostasis_tables import CONDITIONS, LAYERS, drawn_tables, every_table, notes, traces


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return every_table()


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    return drawn_tables()


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

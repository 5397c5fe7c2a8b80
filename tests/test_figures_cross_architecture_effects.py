"""Figures of the comparison show effects of patches, confounds and patterns as in their tables."""

import math
from typing import Any

import pytest
from cross_architecture_tables import (
    DENOMINATOR,
    N_LAYERS,
    Tables,
    drawn_tables,
    ends,
    every_table,
    points,
)
from refusal_tables import marks, texts


@pytest.fixture(scope="module")
def tables() -> Tables:
    return every_table()


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    return drawn_tables()


def test_behind_shows_the_last_layer_at_the_fixed_depth_and_no_definition(drawn: Any) -> None:
    figure = drawn["behind"]
    (alpha,) = marks(figure, "alpha")
    assert list(alpha.x) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert ends(alpha, 2) == pytest.approx((0.25, 0.35))
    (twin,) = marks(figure, "alpha, random weights")
    assert list(twin.x) == pytest.approx([2.1, 2.2, 2.3, 2.4])
    assert "2 of 2 models" in figure.layout.title.text.replace("<br>", " ")
    every = points([t for t in figure.data if t.mode == "markers"])
    assert 99.0 not in every and 5.0 not in every


def test_a_definitional_row_at_the_last_layer_is_named_but_not_drawn(tables: Tables) -> None:
    from figures.cross_architecture import figures

    effects = tables["effects"]
    last = (effects["model"] == "beta") & (effects["layer"] == N_LAYERS - 1)
    changed = effects.assign(definitional=effects["definitional"] | last)
    figure = figures({"effects": changed})["behind"]
    assert marks(figure, "alpha") and not marks(figure, "beta")
    assert "by definition, not drawn: beta" in texts(figure, "notes")


def test_transfer_is_hollow_where_it_is_undefined(drawn: Any) -> None:
    figure = drawn["gap_and_effect"]
    alpha, beta = marks(figure, "alpha"), marks(figure, "beta")
    assert len(alpha) == 3, "gap, drop and fixed"
    assert {(t.x[0], t.y[0], t.marker.symbol) for t in alpha} == {(0.4, 0.2, "circle")}
    assert {(t.x[0], t.y[0], t.marker.symbol) for t in beta} == {(0.3, -0.1, "square-open")}
    half = 4.302653 * 0.01 / math.sqrt(3)  # t interval of three pairs
    assert alpha[0].error_x.array[0] == pytest.approx(2 * half, rel=1e-4)
    assert alpha[0].error_y.array[0] == pytest.approx(half, rel=1e-4)
    assert DENOMINATOR in texts(figure, "notes")
    assert "behind a patch at the largest effect of a patch: alpha, beta" in texts(figure, "notes")
    assert 88.0 not in [t.y[0] for t in figure.data]
    dashed = [t for t in figure.data if t.mode == "lines" and t.line.dash == "dash"]
    assert len(dashed) == 3 and all(list(t.x) == list(t.y) for t in dashed)


def test_behaviour_shows_both_outcomes_and_says_what_a_log_axis_cannot(drawn: Any) -> None:
    figure = drawn["behaviour"]
    said, next_token = marks(figure, "alpha")
    assert list(said.x) == pytest.approx([0.1, 0.2, 0.4]), "the difference is not a condition here"
    assert list(next_token.x) == list(said.x)
    assert len(marks(figure, "beta")[1].x) == 2
    assert "off the log axis: beta, reverse" in texts(figure, "notes")


def test_confounds_show_gaps_and_areas_and_explain_an_empty_group(drawn: Any) -> None:
    figure = drawn["confounds"]
    gap, area = marks(figure, "alpha")
    assert list(gap.x) == pytest.approx([0.3, 0.4, 0.5, 0.6])
    assert list(area.x) == [0.6, 0.9, None]
    assert 0.5 in [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1]
    assert texts(figure).count("told apart without error") == 2, "in its place, and in the notes"
    assert 66.0 not in points([gap, area])


def test_patterns_show_mean_range_and_models(drawn: Any) -> None:
    figure = drawn["patterns"]
    assert points(marks(figure, "mean")) == [0.05]
    assert points(marks(figure, "lowest to highest")) == [-0.4, 0.5]
    assert points(marks(figure, "alpha")) == [0.5] and points(marks(figure, "beta")) == [-0.4]
    assert "2 models" in texts(figure)
    assert "not tests" in figure.layout.meta["caption"]

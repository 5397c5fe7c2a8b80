"""Figures of the comparison show the gaps of their tables, and say what they cannot show."""

import math
from typing import Any

import pandas as pd
import pytest
from cross_architecture_tables import (
    EARLY,
    NO_SPREAD,
    Tables,
    cells,
    drawn_tables,
    ends,
    every_table,
    layer_table,
    points,
    prefixed,
)
from refusal_tables import marks, texts


@pytest.fixture(scope="module")
def tables() -> Tables:
    return every_table()


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    return drawn_tables()


def test_every_figure_has_a_title_a_caption_and_readable_letters(drawn: dict[str, Any]) -> None:
    assert list(drawn) == [
        "forest",
        "depth_profile",
        "critical_depths",
        "behind",
        "gap_and_effect",
        "behaviour",
        "confounds",
        "patterns",
    ]
    for figure in drawn.values():
        assert len(figure.layout.title.text) > 20
        assert "interval" in figure.layout.meta["caption"]
        assert "NaN" not in figure.to_json() and "<script>" not in figure.to_json()
        sizes = [a.font.size for a in figure.layout.annotations if a.font.size]
        assert min(sizes, default=12) >= 12


def test_forest_shows_g_and_its_interval_for_a_model_and_its_random_twin(drawn: Any) -> None:
    (own,), (twin,) = (marks(drawn["forest"], n) for n in ("alpha", "alpha, random weights"))
    assert points([own, twin]) == [0.5, 0.1]
    assert ends(own) == pytest.approx((0.2, 0.8)) and ends(twin) == pytest.approx((-0.1, 0.3))
    assert own.marker.symbol == ("circle",) and twin.marker.symbol == ("circle-open",)
    assert own.y[0] == 0 < twin.y[0] < 0.5
    assert "layer 4 of 8 (50 %)" in texts(drawn["forest"])
    assert "0.50 [0.20, 0.80]" in texts(drawn["forest"])
    assert "n = 41" in own.hovertext[0]


def test_forest_marks_and_explains_what_is_missing(drawn: Any) -> None:
    figure = drawn["forest"]
    (beta,) = marks(figure, "beta")
    assert beta.marker.symbol == ("square-open-dot",) and beta.error_x.array == (None,)
    assert not marks(figure, "beta, random weights")
    assert not marks(figure, "gamma")
    notes = texts(figure, "notes")
    assert NO_SPREAD in notes and "not measured: gamma" in notes
    (row,) = [a for a in figure.layout.annotations if a.text.startswith("&lt;script&gt;")]
    assert row.y == 2, "the reason stands in the model's row"


def test_forest_ends_with_the_summaries_over_all_models(drawn: Any) -> None:
    from figures.cross_architecture.over_models import SUMMARIES

    figure = drawn["forest"]
    found = {name: marks(figure, look.label) for name, look in SUMMARIES.items()}
    assert points(found["mean of these models"]) == [0.06] and points(found["mean"]) == [0.05]
    assert found["mean of these models"][0].y == (3,) and found["mean"][0].y == (4,)
    assert points(found["prediction"]) == [], "an interval that is missing is not drawn as a mark"
    notes = texts(figure, "notes")
    assert "two models" in notes and "runs beyond the axis" in notes
    low, high = figure.layout.xaxis.range
    assert -3 < low < -0.4 and 0.8 < high < 3


def test_profile_shows_each_layer_and_leaves_the_early_one_out(drawn: Any, tables: Tables) -> None:
    figure = drawn["depth_profile"]
    for model in ("alpha", "beta"):
        (line,) = marks(figure, model)
        rows = tables["layers"][tables["layers"]["model"] == model]
        wanted = [None if math.isnan(g) else g for g in rows["estimate"]]
        assert list(line.y) == wanted and wanted[EARLY] is None
        assert list(line.x) == rows["depth_percent"].tolist()
        filled = [k for k, s in enumerate(line.marker.symbol) if "open" not in s]
        assert filled == [4 if model == "alpha" else 5]
    assert "by definition" in texts(figure, "notes")
    assert "62.5 %" in texts(figure), "the fixed depth is marked"


def test_profile_draws_bands_for_two_models_and_grey_lines_for_random_ones() -> None:
    from figures.cross_architecture import figures

    def draw(*models: str) -> Any:
        return figures({"layers": layer_table(models)})["depth_profile"]

    two = draw("alpha", "beta", "alpha--untrained", "beta--untrained")
    bands = [t for t in two.data if t.fill == "toself" and t.name.startswith("alpha")]
    assert [list(b.x)[:1] for b in bands] == [[0.0], [25.0]], "no band across the early layer"
    assert bands[1].y[0] == pytest.approx(-2.2) and bands[1].y[-1] == pytest.approx(-1.8)
    grey = [t for t in two.data if "random weights" in str(t.name)]
    assert [t.showlegend for t in grey] == [True, False]
    assert not [t for t in draw("alpha", "beta", "gamma").data if t.fill == "toself"]


def test_areas_of_dots_are_shares_of_resamples(drawn: Any) -> None:
    figure = drawn["critical_depths"]
    dots = marks(figure, "alpha")
    assert len(dots) == 3, "one panel a definition, the search over all layers only"
    for trace in dots:
        assert list(trace.x) == [50.0, 25.0]
        assert (trace.marker.size[0] / trace.marker.size[1]) ** 2 == pytest.approx(3)
    assert points(marks(figure, "beta, chosen")) == [75.0] * 3
    assert "[12.5, 37.5], 31.2 by chance; p = 0.321" in texts(figure)
    assert "not shown to agree" in figure.layout.title.text


def test_one_model_without_a_twin_or_summaries_can_be_drawn(tables: Tables) -> None:
    from figures.cross_architecture import figures

    one = {n: t[t["model"] == "alpha"] for n, t in tables.items() if "model" in t}
    one["comparison"] = one["comparison"].drop(columns=list(prefixed("untrained_g", cells(0, 0))))
    alone = cells(math.nan, None, why="a summary needs two models or more")
    row = {"effect": "gap at the own critical layer", "without": "", "models": 1}
    meta = pd.DataFrame([row | {"quantity": "mean", "unit": "g"} | alone])
    found = figures(one | {"meta": meta, "patterns": tables["patterns"]})
    assert not [n for n, f in found.items() if "Not drawn" in f.layout.meta["caption"]]
    assert "two models or more" in texts(found["forest"], "notes")
    assert "Hollow" not in found["forest"].layout.meta["caption"]


@pytest.mark.parametrize("name", ["comparison", "layers", "effects", "transfer", "baselines"])
def test_an_absent_table_is_named_in_place_of_its_figure(tables: Tables, name: str) -> None:
    from figures.cross_architecture import FIGURES, figures

    found = figures({n: t for n, t in tables.items() if n != name})
    needing = [figure for figure, (_, needed) in FIGURES.items() if name in needed]
    for figure, what in found.items():
        missing = f"{name}.csv is absent" in what.layout.meta["caption"]
        assert missing == (figure in needing)


def test_no_two_models_look_the_same_and_each_keeps_its_look() -> None:
    from figures.cross_architecture.looks import looks

    names = [f"model-{k}" for k in range(40)]
    found = looks(
        {"layers": layer_table(tuple(names)), "comparison": pd.DataFrame({"model": names})}
    )
    assert len({(s.colour, s.dash) for s in found.values()}) == 40, "lines differ"
    assert len({(s.colour, s.symbol) for s in found.values()}) == 40, "so do marks"
    twins = pd.DataFrame({"model": [f"{names[1]}--untrained", names[0]]})
    assert looks({"effects": twins, "comparison": pd.DataFrame({"model": names})}) == found

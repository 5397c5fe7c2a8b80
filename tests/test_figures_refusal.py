"""Figures of the refusal analysis show the numbers of their tables, and say what they cannot."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from refusal_tables import (
    DEPTHS,
    DOSES,
    OWN,
    SAME,
    Tables,
    draw,
    every_table,
    marks,
    place,
    rates,
    texts,
    title,
    verdicts,
)

NAMES = ["verdicts", "agreement", "by_depth", "dose_response", "bypass", "selection_map", "cosines"]


@pytest.fixture(scope="module")
def tables() -> Tables:
    return every_table()


@pytest.fixture(scope="module")
def drawn(tables: Tables) -> Any:
    return draw(tables)


def assert_readable(drawn: Any) -> None:
    assert list(drawn) == NAMES
    for figure in drawn.values():
        assert len(figure.layout.title.text) > 20
        assert "Not drawn" not in figure.layout.meta["caption"]
        assert "NaN" not in figure.to_json() and "<script>" not in figure.to_json()
        sizes = [a.font.size for a in figure.layout.annotations if a.font.size]
        assert min(sizes, default=12) >= 12


def test_every_figure_has_a_title_a_caption_and_names_what_failed(drawn: Any) -> None:
    assert_readable(drawn)
    for figure in drawn.values():
        assert "interval" in figure.layout.meta["caption"]
        assert "not measured: gamma: &lt;script&gt;" in texts(figure, "notes")


@pytest.mark.parametrize(
    ("models", "methods"),
    [
        (["alpha"], ["dim"]),
        (["alpha"], ["cosmic"]),
        ([f"m{k}" for k in range(20)], ["dim", "cosmic"]),
    ],
)
def test_one_model_one_method_and_twenty_models_can_be_drawn(
    models: list[str], methods: list[str]
) -> None:
    assert_readable(draw(every_table(models, methods)))


def test_tables_read_from_their_files_give_the_same_figures(tables: Tables, tmp_path: Path) -> None:
    from figures.run_folder import read_tables

    for name in set(tables) - {"samples"}:
        tables[name].to_csv(tmp_path / f"{name}.csv", index=False)
    again = draw(read_tables(tmp_path))
    for name, figure in draw(tables).items():
        assert again[name].to_json() == figure.to_json(), name


def test_without_controls_or_intervals_figures_are_drawn_and_say_so(tables: Tables) -> None:
    bare = dict(tables)
    controls = ("random_highest", "random_same_dose_highest", "shuffled")
    bare["verdicts"] = tables["verdicts"].assign(**dict.fromkeys(controls, math.nan))
    named = tables["conditions"]["source"].str.startswith(("random", "shuffled"))
    bare["conditions"] = tables["conditions"][~named]
    ends = {f"coherent_{end}": math.nan for end in ("low", "high")}
    bare = bare | {name: bare[name].assign(**ends) for name in ("verdicts", "conditions")}
    found = draw({k: t for k, t in bare.items() if k != "missing"})
    assert_readable(found)
    assert "no random direction was tried" in title(found["verdicts"])
    for lacking in (SAME, OWN, "shuffled labels"):
        assert not marks(found["verdicts"], lacking)
        assert lacking in texts(found["verdicts"], "notes")
    assert "random directions,<br>coherent, any depth" not in [
        t.name for t in found["dose_response"].data
    ]


@pytest.mark.parametrize("name", ["conditions", "bypass", "selection", "cosines", "verdicts"])
def test_an_absent_table_is_named_in_place_of_its_figure(tables: Tables, name: str) -> None:
    from figures.refusal import FIGURES

    found = draw({n: t for n, t in tables.items() if n != name})
    for figure, (_, needed) in FIGURES.items():
        missing = f"{name}.csv is absent" in found[figure].layout.meta["caption"]
        assert missing == (name in needed)


def test_verdicts_show_rates_intervals_and_controls_at_the_depth_chosen(drawn: Any) -> None:
    figure = drawn["verdicts"]
    (dim,), (cosmic,) = marks(figure, "DIM"), marks(figure, "COSMIC")
    assert list(dim.x) == [80, 80] and list(cosmic.x) == [30, 30], "not the own rule's 30"
    assert dim.error_x.array == pytest.approx((10, 10))
    assert list(dim.y) == pytest.approx([0, 2.45]) and cosmic.y[0] == 1
    assert list(marks(figure, "DIM, garbled")[0].x) == pytest.approx([11, 11])
    (same,), (own,) = marks(figure, SAME), marks(figure, OWN)
    assert list(same.x) == [3] * 4 and list(own.x) == [4] * 4 and same.marker != own.marker
    assert same.error_x.arrayminus == pytest.approx([2] * 4), "a line to the mean"
    assert own.error_x.arrayminus == pytest.approx([2] * 4) and not any(own.error_x.array)
    assert list(marks(figure, "shuffled labels")[0].x) == [6] * 4
    assert list(marks(figure, "unsteered")[0].x) == [2] * 4
    assert {20, 60} <= {shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1}
    assert "DIM: <b>works</b> block 4 (40 %), dose 0.11" in texts(figure)
    assert "COSMIC: <b>partial</b> (uncertain)" in texts(figure)
    assert "DIM makes 2 of 2 models refuse at least 60 %" in title(figure)
    assert "COSMIC 0 of 2 (1 not measured)" in title(figure)
    most = "as long at the same place at most 3 %, at their own best at most 4 %"
    assert f"in 0 of these 2 a control refuses as much (random directions: {most})" in title(figure)
    assert "own rule of DIM: beta: no candidate passes" in texts(figure, "notes")


def test_a_control_inside_the_interval_of_a_method_is_said_beside_it(tables: Tables) -> None:
    figure = draw(tables | {"verdicts": verdicts(["alpha"], random=0.71)})["verdicts"]
    assert "works</b> block 4 (40 %), dose 0.11 a control refuses as much" in texts(figure)
    assert "in 1 of these 1 a control refuses as much" in title(figure)
    fails = verdicts(["alpha"], ["cosmic"])
    assert title(draw(tables | {"verdicts": fails})["verdicts"]).endswith(
        "(1 not measured) (random directions: as long at the same place at most 3 %, at their own "
        "best at most 4 %)"
    )


def test_depths_are_stacked_and_leave_controls_and_the_own_rule_out(drawn: Any) -> None:
    figure = drawn["by_depth"]
    whole, other = marks(figure, "DIM, coherent")
    hatched = marks(figure, "DIM, garbled")[0]
    assert list(whole.y) == [30, 80, 30] == list(other.y)
    assert list(hatched.base) == list(whole.y) and list(hatched.y) == pytest.approx([11] * 3)
    assert list(hatched.x) == list(whole.x) != list(marks(figure, "COSMIC, coherent")[0].x)
    (above, _) = marks(figure, "DIM, chosen")
    assert list(above.x) == [whole.x[1]]
    assert figure.layout.xaxis.ticktext == ("20<br>2", "40<br>4", "60<br>6")
    assert "DIM in 2 of 2 models (40 % of the depth), COSMIC in 0 of 2" in title(figure)


def test_a_depth_that_was_tested_at_two_doses_has_the_bar_of_the_one_preferred(
    tables: Tables,
) -> None:
    again = {"phase": "test", "model": "alpha", **place("dim", 0.4, 0.05), **rates(0.99, 0)}
    both = pd.concat([pd.DataFrame([again]), tables["conditions"]], ignore_index=True)
    whole = marks(draw(tables | {"conditions": both})["by_depth"], "DIM, coherent")[0]
    assert list(whole.y) == [30, 80, 30]


def test_doses_are_those_of_the_search_with_random_directions_behind(drawn: Any) -> None:
    figure = drawn["dose_response"]
    line = marks(figure, "depth 40 %, coherent")[0]
    assert list(line.x) == list(DOSES) and line.y[-1] == pytest.approx(80)
    assert line.line.dash == "solid" and marks(figure, "depth 40 %, garbled")[0].line.dash == "dot"
    assert len(marks(figure, "the method's own choice, coherent")) == 4, "a panel a method"
    (random, *others) = marks(figure, "random directions")
    assert len(others) == 3 and list(random.x).count(None) == 2 * len(DEPTHS)
    assert {y for y in random.y if y is not None} == {4}
    ring = marks(figure, "taken to the test")[0]
    assert (ring.x[0], ring.y[0]) == (0.11, pytest.approx(80))
    assert figure.layout.xaxis.type == "log"


def test_doses_without_a_residual_norm_are_named(tables: Tables) -> None:
    unknown = tables["conditions"].assign(dose_residual=math.nan)
    figure = draw(tables | {"conditions": unknown})["dose_response"]
    assert "no dose is known" in figure.layout.meta["caption"]
    half = tables["conditions"].copy()
    half.loc[half["model"] == "beta", "dose_residual"] = math.nan
    figure = draw(tables | {"conditions": half})["dose_response"]
    assert "not drawn: beta" in texts(figure, "notes")


def test_bypass_shows_before_after_garbled_and_what_costs_too_much(drawn: Any) -> None:
    figure = drawn["bypass"]
    (after,), (before,) = marks(figure, "affine: moved"), marks(figure, "as it is")
    assert list(after.x) == [20, 20] and set(before.x) == {90}
    low, high = after.x[0] - after.error_x.arrayminus[0], after.x[0] + after.error_x.array[0]
    assert (low, high) == pytest.approx((11.24, 33.04), abs=0.01), "Wilson of 10 in 50"
    assert list(marks(figure, "affine: moved, garbled")[0].x) == [10, 10]
    assert "KL 0.05" in texts(figure) and "<b>KL 0.3: too much</b>" in texts(figure)
    assert "in 2 of the 2 models that refuse any (linear 2, affine 2, negative 0)" in title(figure)


def test_models_that_refuse_nothing_have_nothing_to_take_away(tables: Tables) -> None:
    none = tables["bypass"].assign(refusal_before=0.0, fewer_refusals=math.nan)
    assert title(draw(tables | {"bypass": none})["bypass"]).startswith("None of 2 models refuses")


def test_candidates_are_shown_where_they_are_and_the_chosen_ringed(drawn: Any) -> None:
    figure = drawn["selection_map"]
    maps = [t for t in figure.data if t.type == "heatmap"]
    assert len(maps) == 4 and list(maps[0].y) == [-2, -1] and list(maps[0].x) == list(range(8))
    assert maps[0].z[0][0] is None, "undefined"
    assert maps[0].z[0][3] == pytest.approx(1.7) and maps[1].z[0][3] == pytest.approx(-0.7)
    assert {(t.x[0], t.y[0]) for t in marks(figure, "chosen")} == {(7, -2)}
    assert "DIM at 70 % of the depth in 2 models" in title(figure)


def test_a_method_without_any_score_says_so_in_its_panel(tables: Tables) -> None:
    gone = tables["selection"].copy()
    gone.loc[(gone["model"] == "alpha") & (gone["method"] == "dim"), "bypass"] = math.nan
    figure = draw(tables | {"selection": gone})["selection_map"]
    assert "no candidate has a score" in texts(figure)
    assert len([t for t in figure.data if t.type == "heatmap"]) == 3
    assert tuple(figure.layout.xaxis.range) == (-0.5, 7.5)


def test_cosines_are_drawn_by_depth_and_undefined_states_are_named(drawn: Any) -> None:
    figure = drawn["cosines"]
    (alpha,) = marks(figure, "alpha")
    assert alpha.y[0] is None and alpha.y[1] == pytest.approx(0.88)
    assert list(alpha.x)[:2] == [0, 10]
    assert "agree in part" in title(figure)
    assert "state 0" in texts(figure, "notes") and "0.70 to 0.88, median 0.79" in title(figure)


def test_ratings_are_drawn_where_somebody_rated_and_nowhere_else(tables: Tables) -> None:
    judge = ["coherent"] * 6 + ["normal"] * 4
    human = ["coherent"] * 4 + ["garbled"] * 2 + ["normal"] * 4
    rated = pd.DataFrame({"judge": judge, "human": human})
    agreed = {"what": "all", "kappa": 0.69, "kappa_low": 0.3, "kappa_high": 0.92}
    found = draw({**tables, "ratings": rated, "rating_agreement": pd.DataFrame([agreed])})
    assert list(found) == [*NAMES, "ratings"]
    (cells,) = found["ratings"].data
    assert [list(row) for row in cells.z] == [[4, 0, 0], [2, 0, 0], [0, 0, 4]]
    assert [x.split()[1] for x in cells.x] == [y.split()[1] for y in cells.y]
    assert "8 of 10 answers (80 %; kappa 0.69 [0.30, 0.92])" in title(found["ratings"])
    assert "of 6 answers that count as coherent refusals, 2 are none" in texts(found["ratings"])
    alone = draw({**tables, "ratings": rated})["ratings"]
    assert title(alone).endswith("(80 %; kappa undefined)")

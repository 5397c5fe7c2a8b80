"""Figures of sizes, precisions, agreement and the search in two stages show their tables."""

import itertools
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from refusal_tables import (
    DOSES,
    HOSTILE,
    OWN,
    SAME,
    Tables,
    agreement,
    conditions,
    cosines,
    directions,
    draw,
    marks,
    place,
    rates,
    texts,
    title,
    verdicts,
)

MODELS = {"qwen-s": 700_000, "qwen": 1_200_000, "qwen-l": 2_400_000}
COHERENT = {"qwen-s": 0.2, "qwen": 0.5, "qwen-l": 0.8}
BETWEEN = "between two quantised"
SHAPES = ("rising", "falling", "peak", "dip", "flat", "mixed")


def at_every_dose(model: str) -> list[dict[str, Any]]:
    """Both methods at every dose at one depth, and random directions as long as theirs."""
    rows = [{"phase": "test", **place("none", "", 0), **rates(0.02, 0)}]
    for method, dose in itertools.product(("dim", "cosmic"), DOSES):
        found = rates(COHERENT[model] * dose / 0.11, dose)
        rows.append({"phase": "test", **place(method, 0.4, dose), **found})
    for method in ("dim", "cosmic"):
        rows.append({"phase": "test", **place(method, 0.4, -0.11), **rates(0, 0.5)})
        random = {**place("random 0", 0.4, 0.11), "depth": f"as {method}|0.4"}
        rows.append({"phase": "test", **random, **rates(0.06, 0)})
    rows.append({"phase": "search", **place("dim", 0.6, 0.02), **rates(0.99, 0)})
    return [{"model": model, "family": "made", **row} for row in rows]


def curve() -> pd.DataFrame:
    shares = dict.fromkeys(SHAPES, 0.0) | {"rising": 0.93, "peak": 0.07}
    about = {"sizes": ", ".join(MODELS), **shares, "shape": "rising"}
    return pd.DataFrame([{"method": "dim", **about}])


def sizes() -> Tables:
    table = verdicts(["qwen", "qwen-l", "qwen-s"])
    table["parameters"] = [MODELS[name] for name in table["model"]]
    table["coherent"] = [COHERENT[name] for name in table["model"]]
    ends = {"coherent_low": table["coherent"] - 0.1, "coherent_high": table["coherent"] + 0.15}
    missing = [("model", "qwen-xl", HOSTILE)]
    return {
        "verdicts": table.assign(**ends),
        "agreement": agreement(list(MODELS)),
        "conditions": pd.DataFrame([row for name in MODELS for row in at_every_dose(name)]),
        "directions": directions(list(MODELS), ["dim", "cosmic"]),
        "cosines": cosines(list(MODELS)),
        "curve": curve(),
        "decisions": decisions(),
        "missing": pd.DataFrame(missing, columns=["what", "id", "reason"]),
    }


def decisions() -> pd.DataFrame:
    rows = [("5.2", "qwen-l", "quantise", "80% [67%, 89%] coherent"), ("R2", HOSTILE, "a", "b")]
    return pd.DataFrame(rows, columns=["point", "about", "action", "reason"])


def precisions() -> Tables:
    rows = []
    for model, name in itertools.product(("qwen-s", "qwen"), ("none", "int8", "nf4")):
        for direction in ("own", "carried")[: 1 if name == "none" else 2]:
            rate = {"none": 0.7, "int8": 0.68, "nf4": 0.4}[name] - 0.02 * (direction == "carried")
            p = math.nan if name == "none" else 0.01 if name == "nf4" else 1.0
            row = {"model": model, "quantization": name, "direction": direction, "mcnemar_p": p}
            row |= {"verdict": "works" if rate > 0.6 else "partial", **rates(rate, 0.1)}
            row |= {"unsteered": 0.02, "cosine_to_full": 0.95, "preserved": True, "layer": 4}
            rows.append(row | {"position": -1, "dose": 0.11, "norm": 3.0, "extraction_seconds": 2})
    pairs = (("none", "int8", 0.97), ("none", "nf4", 0.87), ("int8", "nf4", 0.91))
    compared = [
        {"model": model, "first": first, "second": second, "cosine": cosine}
        for model in ("qwen-s", "qwen")
        for first, second, cosine in pairs
    ]
    missing = [("model", "qwen-l", HOSTILE), ("qwen", "int4", "no such <b>library</b>")]
    return {
        "precision": pd.DataFrame(rows),
        "precision_cosines": pd.DataFrame(compared),
        "conditions": conditions(["qwen-s", "qwen"], ["dim"], 0),
        "decisions": decisions(),
        "missing": pd.DataFrame(missing, columns=["what", "id", "reason"]),
    }


@pytest.fixture(scope="module")
def by_size() -> Any:
    return draw(sizes())


@pytest.fixture(scope="module")
def by_precision() -> Any:
    return draw(precisions())


def known(values: Any) -> list[Any]:
    return [value for value in values if value is not None]


def test_a_run_shows_the_figures_of_its_own_step_only(by_size: Any, by_precision: Any) -> None:
    shared = ["verdicts", "agreement", "dose_response", "cosines"]
    assert list(by_size) == ["size_curve", *shared]
    assert draw({"decisions": decisions()}) == {}, "gathered from several runs"
    assert list(by_precision) == ["precision", "precision_cosines", "dose_response"]
    for figure in (*by_size.values(), *by_precision.values()):
        assert "Not drawn" not in figure.layout.meta["caption"]
        assert "interval" in figure.layout.meta["caption"]
        assert "not measured: qwen-" in texts(figure, "notes")
        assert "NaN" not in figure.to_json() and "<script>" not in figure.to_json()
        assert min(a.font.size for a in figure.layout.annotations if a.font.size) >= 12


@pytest.mark.parametrize("tables", [sizes(), precisions()], ids=["sizes", "precisions"])
def test_tables_read_from_their_files_give_the_same_figures(tables: Tables, tmp_path: Path) -> None:
    from figures.run_folder import read_tables

    for name, table in tables.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    again = draw(read_tables(tmp_path))
    for name, figure in draw(tables).items():
        assert again[name].to_json() == figure.to_json(), name


def test_an_own_table_that_is_empty_is_named_in_its_place() -> None:
    found = draw(sizes() | {"agreement": pd.DataFrame()})["agreement"]
    assert "agreement.csv is absent or has no rows" in found.layout.meta["caption"]
    found = draw(precisions() | {"precision": pd.DataFrame()})
    assert "precision.csv is absent or has no rows" in found["precision"].layout.meta["caption"]
    assert "Not drawn" not in found["precision_cosines"].layout.meta["caption"]


def test_sizes_are_in_order_with_intervals_garbled_and_random_directions(by_size: Any) -> None:
    figure = by_size["size_curve"]
    (dim,) = marks(figure, "DIM, coherent")
    assert list(dim.x) == sorted(MODELS.values()) and list(dim.y) == pytest.approx([20, 50, 80])
    assert dim.error_y.array == pytest.approx([15] * 3)
    assert dim.error_y.arrayminus == pytest.approx([10] * 3)
    assert list(marks(figure, "DIM, garbled")[0].y) == pytest.approx([11] * 3)
    assert list(marks(figure, "DIM, unsteered")[0].y) == [2] * 3
    band, cross = marks(figure, SAME)[0], marks(figure, OWN)[0]
    assert list(band.y) == [3] * 3 + [1] * 3 and list(cross.y) == [4] * 3
    assert cross.error_y.arrayminus == pytest.approx([2] * 3)
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.ticktext[0] == "700 k<br>qwen-s"


def test_the_title_says_the_shape_and_its_probability_and_the_note_what_it_is_not(
    by_size: Any,
) -> None:
    figure = by_size["size_curve"]
    assert "3 sizes (700 k to 2.4 M parameters): DIM rising" in title(figure)
    assert "DIM rising (bootstrap probability 0.93)" in title(figure)
    assert "COSMIC unknown (no curve from fewer than two sizes)" in title(figure)
    assert "one checkpoint a size" in texts(figure, "notes")
    assert "DIM: rising 93 %, peak 7 %" in texts(figure, "notes")


def test_sizes_are_drawn_as_far_as_parameters_controls_and_intervals_are_known() -> None:
    tables = sizes()
    bare = tables["verdicts"].drop(columns=["parameters"])
    assert "no number of parameters" in str(draw(tables | {"verdicts": bare})["size_curve"].layout)
    gone = [name for name in bare if name.startswith(("random", "coherent_"))]
    figure = draw(tables | {"verdicts": tables["verdicts"].drop(columns=gone)})["size_curve"]
    assert known(marks(figure, "DIM, coherent")[0].y) == pytest.approx([20, 50, 80])
    assert not known(marks(figure, SAME)[0].x) and not known(marks(figure, OWN)[0].y)
    assert "NaN" not in figure.to_json()


def test_doses_of_sizes_are_those_of_the_test_prompts(by_size: Any) -> None:
    figure = by_size["dose_response"]
    (large, _) = marks(figure, "qwen-l, coherent")
    assert list(large.y) == pytest.approx([100 * 0.8 * dose / 0.11 for dose in DOSES])
    assert list(large.x) == pytest.approx(list(DOSES), rel=0.03), "a little apart"
    assert large.error_y.array == pytest.approx([10] * 3)
    assert len(marks(figure, "qwen, garbled")) == 2
    assert [set(t.y) for t in marks(figure, SAME)] == [{6}, {6}]
    rings = marks(figure, "chosen on other prompts")
    assert [y for ring in rings for y in ring.y] == pytest.approx([20, 50, 80] * 2)
    assert "DIM 0.11 (3 of 3 sizes)" in title(figure)
    labels = [t.name for t in figure.data if list(t.x) == [None]]
    assert labels[:3] == ["qwen-s", "qwen", "qwen-l"], "by size"


def test_a_screening_is_a_thin_line_and_the_whole_search_marks_on_it() -> None:
    tables = {"conditions": conditions(["alpha"]), "verdicts": verdicts(["alpha"])}
    searched = tables["conditions"].query("phase == 'search'")
    few = searched.assign(phase="screen", n=8, coherent=0.25)
    kept = tables["conditions"].query("phase != 'search' or dose > 0.1")
    both = tables | {"conditions": pd.concat([few, kept], ignore_index=True)}
    figure = draw(both)["dose_response"]
    mark, line = (marks(figure, f"depth 40 %, coherent{end}")[0] for end in ("", ", screened"))
    assert line.mode == "lines" and list(line.y) == [25] * 3 and list(line.x) == list(DOSES)
    assert mark.mode == "markers" and list(mark.x) == [0.11] and mark.y[0] == pytest.approx(80)
    assert "short answers to 8 requests" in figure.layout.meta["caption"]
    assert any("n = 8, short answers" in str(t.name) for t in figure.data)
    alone = draw(tables)["dose_response"]
    assert marks(alone, "depth 40 %, coherent")[0].mode == "lines+markers"
    assert "screening" not in alone.layout.meta["caption"]


def test_precisions_are_paired_with_p_beside_them(by_precision: Any) -> None:
    figure = by_precision["precision"]
    (own,), (carried,) = marks(figure, "own direction"), marks(figure, "carried over")
    assert list(own.x) == pytest.approx([70, 68, 40] * 2)
    assert list(carried.x) == pytest.approx([66, 38] * 2)
    assert own.error_x.array == pytest.approx([10] * 6)
    assert carried.y[0] - own.y[1] == pytest.approx(0.32), "two marks on one line"
    assert list(marks(figure, "carried over, garbled")[0].x) == [10] * 4
    assert list(marks(figure, "unsteered")[0].x) == [2] * 6
    assert "own: works, p = 1.000 carried: works, p = 1.000" in texts(figure)
    assert "own: partial, <b>p = 0.010</b>" in texts(figure)
    assert [s.x0 for s in figure.layout.shapes if s.x0 == s.x1] == pytest.approx([70, 70])
    assert "its own direction in 2 of 4 comparisons" in title(figure)
    assert "qwen at int4: no such &lt;b&gt;library" in texts(figure, "notes")


def test_full_precision_alone_and_absent_p_are_said() -> None:
    tables = precisions()
    full = tables["precision"].query("quantization == 'none'")
    assert "No quantised weights were measured" in title(
        draw(tables | {"precision": full})["precision"]
    )
    figure = draw(tables | {"precision": tables["precision"].assign(mcnemar_p=math.nan)})
    assert "own: works, no p" in texts(figure["precision"])
    assert "in 0 of 4 comparisons" in title(figure["precision"])


def test_cosines_between_precisions_are_stems_and_changed_ones_are_said(by_precision: Any) -> None:
    figure = by_precision["precision_cosines"]
    (full,), (between,) = (marks(figure, n) for n in ("with full precision", BETWEEN))
    assert list(full.x) == [0.97, 0.87] * 2 and list(between.x) == [0.91] * 2
    (stems,) = marks(figure, "with full precision, lost")
    assert list(stems.x)[:3] == [1, 0.97, None]
    assert 0.9 in [shape.x0 for shape in figure.layout.shapes]
    assert "<b>0.870: changed</b>" in texts(figure)
    assert "in 2 of 4 cases; least 0.87 (qwen-s, nf4)" in title(figure)


def test_an_undefined_cosine_is_no_mark_and_none_at_all_is_said() -> None:
    tables = precisions()
    table = tables["precision_cosines"]
    table.loc[0, "cosine"] = math.nan
    figure = draw(tables)["precision_cosines"]
    assert list(marks(figure, "with full precision")[0].x) == [0.87, 0.97, 0.87]
    assert "unknown" in texts(figure)
    none = draw(tables | {"precision_cosines": table.assign(cosine=math.nan)})
    assert "no cosine is defined" in none["precision_cosines"].layout.meta["caption"]


def test_methods_are_joined_and_flagged_where_they_disagree(by_size: Any) -> None:
    figure = by_size["agreement"]
    (dim,), (cosmic,) = marks(figure, "DIM"), marks(figure, "COSMIC")
    assert list(dim.x) == [80] * 3 and list(cosmic.x) == [30] * 3
    first = marks(figure, "both")[0]
    assert list(first.x) == [80, 30] and list(first.y) == [dim.y[0], cosmic.y[0]]
    assert "DIM − COSMIC: 50 points p < 0.001, <b>they disagree</b>" in texts(figure)
    assert texts(figure).count("they disagree") == 1
    assert "disagree in 1 of 3 models (qwen-s)" in title(figure)


def test_methods_without_intervals_are_named() -> None:
    tables = {name: table for name, table in sizes().items() if name != "verdicts"}
    figure = draw(tables)["agreement"]
    assert list(marks(figure, "DIM")[0].error_x.array) == [None] * 3
    assert "no interval: qwen-s (dim), qwen (dim)" in texts(figure, "notes")


def test_decisions_are_a_section_before_the_tables_and_not_listed_again() -> None:
    from figures.report import report_html

    tables = sizes()
    page = report_html("t", {}, {}, tables, [])
    assert page.index('<section aria-labelledby="decisions">') < page.index('id="tables"')
    assert '<th scope="row">5.2</th><td>qwen-l</td><td><strong>quantise</strong></td>' in page
    assert "tables/decisions.csv (" not in page and "&lt;script&gt;alert(1)" in page
    tables["decisions"] = tables["decisions"].head(0)
    assert 'id="decisions"' not in report_html("t", {}, {}, tables, [])
    bare = report_html("t", {}, {}, {}, [])
    assert 'id="decisions"' not in bare and 'id="figures"' not in bare

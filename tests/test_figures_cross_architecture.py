"""Figures of the comparison show the numbers of their tables, and say what they cannot show."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

N_LAYERS, EARLY, FIXED = 8, 1, 5
HOSTILE = "<script>alert(1)</script> cannot be read"
NO_SPREAD, DENOMINATOR = "no spread at all", "the denominator holds 0"
CONDITIONS = ("patched", "other_plain", "patched − other_plain", "reverse")

Tables = dict[str, pd.DataFrame]


def cells(estimate: float, width: float | None, n: int = 9, why: str = "") -> dict[str, Any]:
    low, high = (math.nan, math.nan) if width is None else (estimate - width, estimate + width)
    found = {"estimate": estimate, "low": low, "high": high, "n": n}
    return found | {"status": "missing" if why else "ok", "reason": why or math.nan}


def prefixed(prefix: str, found: Mapping[str, Any]) -> dict[str, Any]:
    ends = {f"{prefix}_{key}": found[key] for key in ("low", "high", "reason")}
    return {prefix: found["estimate"], **ends}


def depth(layer: int) -> dict[str, Any]:
    return {"layer": layer, "depth_percent": 100 * layer / N_LAYERS}


def comparison_table() -> pd.DataFrame:
    facts = {"attention": "GQA", "critical_layer": 4, "depth_percent": 50.0, "n_layers": N_LAYERS}
    good = {"status": "ok", "reason": math.nan} | facts
    alpha = prefixed("g", cells(0.5, 0.3)) | prefixed("untrained_g", cells(0.1, 0.2))
    beta = prefixed("g", cells(-0.4, None, why=NO_SPREAD))
    failed = {"model": "gamma", "status": "failed", "reason": HOSTILE}
    return pd.DataFrame(
        [{"model": "alpha"} | good | alpha, {"model": "beta"} | good | beta, failed]
    )


def meta_table() -> pd.DataFrame:
    row = {"effect": "gap at the own critical layer", "unit": "g", "models": 2, "i2": 0.5}
    rows = [
        row | {"without": math.nan, "quantity": "mean"} | cells(0.05, 9.0),
        row | {"without": math.nan, "quantity": "prediction"} | cells(0.05, None, why="two models"),
        row | {"without": math.nan, "quantity": "mean of these models"} | cells(0.06, 0.1),
        row | {"without": "alpha", "quantity": "mean"} | cells(77.0, 0.1),
    ]
    return pd.DataFrame(rows)


def layer_table(models: tuple[str, ...] = ("alpha", "beta", "alpha--untrained")) -> pd.DataFrame:
    rows = []
    for m, model in enumerate(models):
        for layer in range(N_LAYERS):
            early = layer == EARLY
            size = cells(math.nan, None, why="0 by definition") if early else cells(m - layer, 0.2)
            p = math.nan if layer <= EARLY else 0.01 if layer == 4 + m else 0.9
            row = {"model": model, **depth(layer), **size, "p_all_layers": p}
            rows.append(row | {"definitional": early})
    return pd.DataFrame(rows)


def critical_tables() -> Tables:
    chosen, shares = [], []
    for model, layer in (("alpha", 4), ("beta", 6)):
        for definition in ("gap", "drop", "patch"):
            for span in ("all", "seed"):
                which = {"model": model, "definition": definition, "range": span}
                ends = {"depth_low": 25.0, "depth_high": 75.0, "share_of_resamples": 0.75}
                row = which | depth(layer) | ends | {"n_layers": N_LAYERS} | cells(0.4, 0.1)
                chosen.append(row)
                shares.append(which | depth(layer) | {"share": 0.75})
                shares.append(which | depth(2 if span == "all" else 3) | {"share": 0.25})
    row = {"models": 2, "median_depth_percent": 62.5, "mean_distance": 25.0, "low": 12.5}
    row |= {"high": 37.5, "by_chance": 31.25, "p_nearer_than_chance": 0.321}
    concordance = pd.DataFrame([{"definition": d, **row} for d in ("gap", "drop", "patch")])
    return {
        "critical_layers": pd.DataFrame(chosen),
        "depths": pd.DataFrame(shares),
        "concordance": concordance,
    }


def effect_table() -> pd.DataFrame:
    rows = []
    for m, model in enumerate(("alpha", "beta", "alpha--untrained")):
        for patched, roles in ((4, "gap, drop"), (FIXED, "fixed, patch")):
            for c, condition in enumerate(CONDITIONS):
                row = {"model": model, "patch_layer": patched, "roles": roles}
                row |= {"condition": condition, "p_adjusted": math.nan}
                size = 0.1 * (c + 1) + m if patched == FIXED else 5.0
                for layer in range(patched, N_LAYERS):
                    site = layer == patched
                    found = cells(99.0 if site or layer < N_LAYERS - 1 else size, 0.05)
                    where = {"outcome": "log_r_v", "definitional": site} | depth(layer)
                    rows.append(row | where | found)
                for outcome in ("continuation", "next_token_kl"):
                    where = {"outcome": outcome, "definitional": False} | depth(N_LAYERS - 1)
                    value = (
                        0.0 if (outcome, condition, m) == ("next_token_kl", "reverse", 1) else size
                    )
                    rows.append(row | where | cells(value, 0.05))
    return pd.DataFrame(rows)


def transfer_table() -> pd.DataFrame:
    rows = []
    for model, change, gap in (("alpha", 0.2, 0.4), ("beta", -0.1, 0.3)):
        for patched, roles in ((4, "gap, drop"), (FIXED, "fixed")):
            row = {"model": model, "patch_layer": patched, "roles": roles, "outcome": "log_r_v"}
            row |= {"change": change, "natural_gap": gap}
            why = DENOMINATOR if model == "beta" else ""
            last = cells(math.nan, None, why=why) if why else cells(change / gap, 0.1)
            site = row | {"change": 88.0, "layer": patched, "definitional": True}
            rows += [site | cells(1.0, 0.1), row | {"layer": 7, "definitional": False} | last]
        at_end = {"patch_layer": 7, "roles": "patch", "layer": 7, "definitional": True}
        rows.append(row | at_end | cells(1.0, 0.1))
    return pd.DataFrame(rows)


def pair_table() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": model, "patch_layer": patched, "natural_gap_last": gap + 2 * step}
            | {"delta_log_r_v_last": change + step}
            for model, change, gap in (("alpha", 0.2, 0.4), ("beta", -0.1, 0.3))
            for patched in (4, FIXED)
            for step in (-0.01, 0.0, 0.01)
        ]
    )


def confound_tables() -> Tables:
    gap, areas = [], []
    for m, model in enumerate(("alpha", "beta")):
        for c, name in enumerate(("as it is", "given tokens", "given all three", "matched texts")):
            row = {"model": model, "comparison": name, "about": "gap"}
            gap.append(row | cells(0.3 + 0.1 * c + m, 0.2, n=50 - c))
        row = {"model": model, "comparison": "tokens of the two kinds", "about": "balance"}
        gap.append(row | cells(66.0, 0.1))
        for score, area in (("R_V at the critical layer", 0.6), ("ten keywords", 0.9)):
            areas.append({"model": model, "score": score} | cells(area + 0.01 * m, 0.05))
        none = cells(math.nan, None, why="told apart without error")
        areas.append({"model": model, "score": "words"} | none)
    return {"confounds": pd.DataFrame(gap), "baselines": pd.DataFrame(areas)}


def pattern_table() -> pd.DataFrame:
    row = {"fact": "attention", "kind": "GQA", "models": 2, "names": "alpha, beta"}
    row |= {"g_mean": 0.05, "g_lowest": -0.4, "g_highest": 0.5, "depth_percent_median": 50.0}
    return pd.DataFrame([row | {"behind_d_z_mean": 0.0}])


def every_table() -> Tables:
    inputs = {"effect": "gap at the own critical layer", "model": "alpha"} | cells(0.5, 0.3, n=41)
    why = "fewer than 5 models; 50% of 2 models have the gap"
    return {
        "comparison": comparison_table(),
        "verdict": pd.DataFrame([{"verdict": "undecided", "why": why}]),
        "meta": meta_table(),
        "meta_inputs": pd.DataFrame([inputs]),
        "layers": layer_table(),
        "effects": effect_table(),
        "transfer": transfer_table(),
        "pairs": pair_table(),
        "patterns": pattern_table(),
        **critical_tables(),
        **confound_tables(),
    }


@pytest.fixture(scope="module")
def tables() -> Tables:
    return every_table()


@pytest.fixture(scope="module")
def drawn(tables: Tables) -> dict[str, Any]:
    from figures.cross_architecture import figures

    return figures(tables)


def marks(figure: Any, name: str) -> list[Any]:
    """Traces of exactly this name, keys of the legend left out."""
    return [t for t in figure.data if t.name == name and list(t.x) != [None]]


def points(traces: list[Any]) -> list[float]:
    return [value for trace in traces for value in trace.x if value is not None]


def ends(trace: Any, k: int = 0) -> tuple[float, float]:
    return trace.x[k] - trace.error_x.arrayminus[k], trace.x[k] + trace.error_x.array[k]


def texts(figure: Any, name: str | None = None) -> str:
    found = [a.text for a in figure.layout.annotations if name is None or a.name == name]
    return " ".join(found).replace("<br>", " ")


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

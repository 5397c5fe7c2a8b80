"""Figures of the refusal analysis show the numbers of their tables, and say what they cannot."""

import base64
import csv
import io
import itertools
import json
import math
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

HOSTILE = "<script>alert(1)</script> cannot be loaded"
NASTY = (
    '</script><script>document.title="owned"</script><img src=x onerror=alert(1)>\u2028"\u0000&amp;'
)
FORMULA = '=HYPERLINK("http://x", "y")'
DEPTHS, DOSES, N_LAYERS, N = (0.2, 0.4, 0.6), (0.02, 0.05, 0.11), 10, 50

SAME, OWN = "random, same place", "random, own best"

Tables = dict[str, pd.DataFrame]


def rates(coherent: float, garbled: float, n: int = N) -> dict[str, Any]:
    normal = round(1 - coherent - garbled, 9)
    found: dict[str, Any] = {"n": n}
    for name, value in (("coherent", coherent), ("garbled", garbled), ("normal", normal)):
        ends = {f"{name}_low": max(value - 0.1, 0), f"{name}_high": min(value + 0.1, 1)}
        found |= {name: value, **ends}
    return found | {"refusal_strict": coherent + garbled}


def place(source: str, depth: float | str, dose: float) -> dict[str, Any]:
    if source == "none":
        gone = dict.fromkeys(("layer", "position", "dose_unit", "dose_raw", "dose_residual"))
        return {"source": source, "depth": "", "dose": 0.0, "depth_percent": None, **gone}
    layer = 7 if depth == "free" else int(float(depth) * N_LAYERS)
    doses = {"dose": dose, "dose_unit": 15.0, "dose_raw": 1.0, "dose_residual": dose}
    where = {"layer": layer, "depth_percent": 100 * layer / N_LAYERS, "position": -1}
    return {"source": source, "depth": str(depth), **where, **doses}


def conditions(
    models: Sequence[str], methods: Sequence[str] = ("dim", "cosmic"), n_random: int = 2
) -> pd.DataFrame:
    """Coherent refusals rise with the dose and are highest at depth 0.4 under DIM."""
    controls = [*(f"random {k}" for k in range(n_random)), "shuffled"]
    rows: list[dict[str, Any]] = []
    for model in models:
        row = {"model": model, "family": "made"}
        for source, depth, dose in itertools.product(
            [*methods, *controls], [*DEPTHS, "free"], DOSES
        ):
            if source in controls and depth == "free":
                continue
            peak = 0.8 if (source, depth) == ("dim", 0.4) else 0.3
            found = rates(peak * dose / 0.11 if source in methods else 0.04, dose)
            rows.append(row | {"phase": "search"} | place(source, depth, dose) | found)
            if dose == 0.11 and (source in methods or depth == 0.4):
                rows.append(row | {"phase": "test"} | place(source, depth, dose) | found)
        for method in methods:
            rows.append(row | {"phase": "test"} | place(method, 0.4, -0.11) | rates(0, 0.5))
        rows.append(row | {"phase": "test"} | place("none", "", 0) | rates(0.02, 0))
        rows.append(row | {"phase": "harmful"} | place("none", "", 0) | rates(0.9, 0))
    return pd.DataFrame(rows)


def verdicts(
    models: Sequence[str], methods: Sequence[str] = ("dim", "cosmic"), random: float = 0.04
) -> pd.DataFrame:
    rows = []
    for model, method, own in itertools.product(models, methods, (False, True)):
        found = rates(0.8 if method == "dim" and not own else 0.3, 0.11)
        row = {"model": model, "family": "made", "method": method, "uncertain": method == "cosmic"}
        row |= {"verdict": "works" if found["coherent"] > 0.6 else "partial", **found}
        row |= place(method, "free" if own else 0.4, 0.11) | {"layer_pattern": "peak"}
        row |= {"unsteered": 0.02, "random_highest": random, "random_mean": random / 2}
        row |= {"random_same_dose_highest": 0.03, "random_same_dose_mean": 0.01}
        row |= {"shuffled": 0.06, "choice": "own rule" if own else "best depth on validation"}
        rows.append({k: v for k, v in row.items() if k not in ("source", "depth")})
    return pd.DataFrame(rows)


def bypasses(models: Sequence[str]) -> pd.DataFrame:
    rows = []
    for model in models:
        for k, kind in enumerate(("linear", "affine", "negative")):
            row = {"model": model, "kind": kind, "source": "dim", "depth": "0.4", "layer": 4}
            row |= {"dose": -0.1, "kl": (0.01, 0.05, 0.3)[k], "nll": 2.1, "nll_untouched": 2.0}
            row |= {"refusal_before": 0.9, "refusal_after": 0.2 * k, **rates(0.1 * k, 0.1)}
            rows.append(row | {"fewer_refusals": 1 - 0.2 * k / 0.9})
    return pd.DataFrame(rows)


def selection(models: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    rows = []
    for model, method, layer in itertools.product(models, methods, range(8)):
        for position in (-2, -1):
            better = 0.1 * layer - abs(position)
            scores = {"comply": better, "refuse": 1.0, "bypass": -better, "induce": 1.0}
            undefined = dict.fromkeys(scores, math.nan) if layer == 0 else scores
            where = {"layer": layer, "depth_percent": 10.0 * layer, "position": position}
            rows.append({"model": model, "method": method, **where, **undefined})
    return pd.DataFrame(rows)


def directions(models: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    rows = []
    for model, source, depth in itertools.product(models, methods, ("0.2", "free")):
        layer = 7 if depth == "free" else 2
        where = {"layer": layer, "depth_percent": 10.0 * layer, "position": -2}
        rows.append({"model": model, "source": source, "depth": depth, **where, "norm": 3.0})
    return pd.DataFrame(rows)


def cosines(models: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"model": m, "state": s, "depth_percent": 10.0 * s, "cosine": 0.9 - 0.02 * s if s else None}
        for m in models
        for s in range(N_LAYERS + 1)
    )


def agreement(models: Sequence[str]) -> pd.DataFrame:
    """DIM and COSMIC disagree on the first model only."""
    rows = []
    for k, model in enumerate(models):
        rate = {"coherent_first": 0.8, "coherent_second": 0.3, "difference": 0.5}
        tested = {"mcnemar_p": 0.0004 if k == 0 else 0.4, "disagree": k == 0}
        rows.append({"model": model, "first": "dim", "second": "cosmic", **rate, **tested})
    return pd.DataFrame(rows)


def samples(models: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    """Sixty answers a tested condition; the first is nasty, another would be a formula."""
    rows = []
    tested = conditions(models, methods, n_random=1)
    for row in tested[tested["phase"] == "test"].to_dict("records"):
        about = {name: row[name] for name in ("model", "phase", "source", "depth", "layer", "dose")}
        for k in range(60):
            response = {0: NASTY, 11: FORMULA}.get(k, f"I will not do {k}.")
            said = {"kind": "added", "prompt": f"Request {k}?", "response": response}
            judged = {"quality": "coherent", "strict": True, "seed": k < 9, "arditi": False}
            rows.append(about | said | judged)
    return pd.DataFrame(rows)


def every_table(
    models: Sequence[str] = ("alpha", "beta"), methods: Sequence[str] = ("dim", "cosmic")
) -> Tables:
    missing = [("model", "gamma", HOSTILE), ("beta", "dim|free", "no candidate passes")]
    return {
        "verdicts": verdicts(models, methods),
        "agreement": agreement(models),
        "bypass": bypasses(models),
        "conditions": conditions(models, methods),
        "directions": directions(models, methods),
        "selection": selection(models, methods),
        "cosines": cosines(models),
        "samples": samples(models, methods),
        "missing": pd.DataFrame(missing, columns=["what", "id", "reason"]),
    }


NAMES = ["verdicts", "agreement", "by_depth", "dose_response", "bypass", "selection_map", "cosines"]


def draw(tables: Tables) -> Any:
    from figures.refusal import figures

    return figures(tables)


def marks(figure: Any, name: str) -> list[Any]:
    """Traces of exactly this name, keys of the legend left out."""
    return [t for t in figure.data if t.name == name and list(t.x) != [None]]


def texts(figure: Any, name: str | None = None) -> str:
    found = [a.text for a in figure.layout.annotations if name is None or a.name == name]
    return " ".join(found).replace("<br>", " ")


def title(figure: Any) -> str:
    return figure.layout.meta["title"]


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


@pytest.fixture(scope="module")
def run_dir(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's folder, drawn through the one path that there is."""
    from figures import redraw

    folder = tmp_path_factory.mktemp("run")
    (folder / "tables").mkdir()
    for name, table in tables.items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    (folder / "summary.json").write_text('{"analysis": "refusal", "run": "made"}', encoding="utf-8")
    redraw(folder)
    return folder


READER = """<script>
const seen = {}, look = () => ({ count: part("count").textContent, rows: part("rows").rows.length,
  first: part("rows").rows[0]?.cells[4].textContent,
  inside: part("rows").querySelectorAll("*:not(tr, td)").length });
const set = (box, value) => { box.value = value; box.dispatchEvent(new Event("input")); };
seen.start = look();
part("more").click(); seen.more = look();
for (const [name, label] of [["model", "beta"], ["source", "dim"], ["depth", "free"]]) {
  const box = document.querySelector(`[data-filter="${name}"]`);
  set(box, [...box.options].find((option) => option.text === label).value);
}
seen.filtered = look();
set(part("words"), "REQUEST 59"); seen.words = look();
set(part("words"), "nothing says this"); seen.none = look();
URL.createObjectURL = (blob) => { blob.text().then((text) => {
  if (!seen.sheet) {
    seen.sheet = text; part("judge").checked = true; part("sheet").click(); return; }
  seen.judged = text; const out = document.createElement("pre"); out.id = "seen";
  out.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(seen))));
  document.body.append(out); }); return "#"; };
part("sheet").click();
</script></body>"""


@pytest.fixture(scope="module")
def read(run_dir: Path) -> tuple[str, dict[str, Any]]:
    """The page in Chromium after a reader clicked through the answers; what the reader saw."""
    from figures.export import chromium

    page = run_dir / "read.html"
    report = (run_dir / "report.html").read_text(encoding="utf-8")
    head, _, tail = report.rpartition("</body>")
    page.write_text(head + READER + tail, encoding="utf-8")
    command = [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={run_dir / 'profile'}"]
    command += ["--virtual-time-budget=20000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (seen,) = re.findall(r'<pre id="seen">([^<]*)</pre>', done.stdout)
    return done.stdout, json.loads(base64.b64decode(seen))


def test_answers_are_browsed_without_errors_fifty_at_a_time(read: Any) -> None:
    opened, seen = read
    first = re.search(r"<html[^>]*>", opened)
    assert first and 'data-errors="0"' in first[0], first
    assert seen["start"]["count"] == "1 to 50 of 1560 found" and seen["start"]["rows"] == 50
    assert seen["more"]["count"] == "51 to 100 of 1560 found" and seen["more"]["rows"] == 50
    assert seen["filtered"]["count"] == "1 to 50 of 60 found"
    assert seen["words"] == {"count": "1 to 1 of 1 found", "rows": 1, "inside": 0} | {
        "first": "I will not do 59."
    }
    assert seen["none"]["count"] == "none found" and seen["none"]["rows"] == 0


def test_generated_text_is_shown_as_text_and_never_executed(read: Any, run_dir: Path) -> None:
    opened, seen = read
    assert seen["start"]["inside"] == 0 and seen["start"]["first"] == NASTY
    assert "<title>owned" not in opened
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "onerror=alert(1)>" not in page and "<script>document" not in page
    assert "tables/samples.csv (" not in page, "the big table is not printed as well"


def test_the_rating_sheet_holds_ten_answers_of_each_condition_that_works(read: Any) -> None:
    sheet = pd.read_csv(io.StringIO(read[1]["sheet"].removeprefix("\ufeff")))
    names = ["sample", "model", "source", "depth", "layer", "dose", "prompt", "response", "rating"]
    assert list(sheet.columns) == names, "and not the judge's word"
    assert sheet["rating"].isna().all()
    assert sheet.groupby(["model", "source", "depth", "layer", "dose"]).size().to_dict() == {
        (model, "dim", 0.4, 4, 0.11): 10 for model in ("alpha", "beta")
    }


def test_the_judge_s_word_is_on_the_sheet_only_where_it_was_asked_for(read: Any) -> None:
    sheet = pd.read_csv(io.StringIO(read[1]["judged"].removeprefix("\ufeff")))
    assert list(sheet.columns)[-2:] == ["quality", "rating"]
    assert set(sheet["quality"]) == {"coherent"}


def test_answers_on_the_sheet_have_the_names_by_which_ratings_are_taken(
    tables: Tables, read: Any
) -> None:
    from figures.refusal.answers import sample_ids, to_rate

    sheet = pd.read_csv(io.StringIO(read[1]["sheet"].removeprefix("\ufeff")))
    rows = to_rate(tables["samples"], tables["verdicts"])
    assert sheet["sample"].tolist() == sample_ids(tables["samples"].loc[rows])


def test_formulas_cannot_reach_a_spreadsheet(tables: Tables, read: Any) -> None:
    from figures.refusal.answers import to_rate

    rows = to_rate(tables["samples"], tables["verdicts"])
    drawn = tables["samples"].loc[rows, "response"].tolist()
    said = [row[7] for row in csv.reader(io.StringIO(read[1]["sheet"]))][1:]
    assert FORMULA in drawn, "the seed draws one; else this test shows nothing"
    assert said == ["'" + text if text == FORMULA else text for text in drawn]


def test_a_run_without_answers_has_no_browser_and_one_without_verdicts_no_sheet() -> None:
    from figures.refusal.answers import browser
    from figures.report import report_html

    assert 'id="answers"' not in report_html("t", {}, {}, {}, [])
    other = {"samples": pd.DataFrame({"text": ["of another analysis"]})}
    assert "of another analysis" in report_html("t", {}, {}, other, [])
    alone = {"samples": samples(["alpha"], ["dim"])}
    found = browser(alone)
    assert found and found["rated"] == 0
    assert "No condition works" in report_html("t", {}, {}, alone, [])

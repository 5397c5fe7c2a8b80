"""Answers in a refusal report, read in a browser, and the sheet on which people rate them."""

import base64
import csv
import io
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from refusal_tables import (
    FORMULA,
    NASTY,
    Tables,
    draw,
    every_table,
    samples,
)


@pytest.fixture(scope="module")
def tables() -> Tables:
    return every_table()


@pytest.fixture(scope="module")
def drawn(tables: Tables) -> Any:
    return draw(tables)


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

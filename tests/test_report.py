"""The report opens anywhere: no network, no errors, every figure drawn, nothing executed."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=alert(1)>'
ROOT = Path(__file__).parent.parent


def summary() -> dict[str, Any]:
    return {
        "analysis": "homeostasis",
        "run": "pocket-0000",
        "key": "0" * 64,
        "model": {"name": HOSTILE, "family": "mistral", "pocket": True, "revision": None},
        "banner": "A test subject & no evidence about large models.",
        "headline": ["67 % of the change is gone.", HOSTILE],
        "counts": {"attempted": 5, "measured": 4, "missing": 1},
        "layers": {"patch": 5, "early": 1, "n_layers": 8},
        "window": 16,
        "spec": {"parameters": {"seed": 0, "conditions": ["patched", "passive"]}},
        "versions": {"python": "3.11"},
        "seconds": 12.5,
        "batch_size": 4,
        "software_checks": {"self_max_abs_change": 0.0},
        "cannot_say": ["Nothing about large models."],
    }


def tables() -> dict[str, pd.DataFrame]:
    """Some that can be drawn, an empty one, and text that would like to be markup."""
    pairs = [
        {"target_id": HOSTILE, "donor_id": "d", "delta_log_r_v_L5": 0.5, "delta_log_r_v_L7": 0.1}
        | {f"column_{i}": 1 / 3 for i in range(20)}
    ] * 15
    profile = [
        {"kind": kind, "layer": layer, "depth_percent": 12.5 * layer, "r_v": 1 + layer * i * 0.01}
        for kind in ("plain", "recursive", HOSTILE)
        for layer in range(8)
        for i in range(4)
    ]
    missing = [{"what": "prompt", "id": f"p{i}", "reason": "15 tokens, window 16"} for i in (1, 2)]
    return {
        "pairs": pd.DataFrame(pairs),
        "profile": pd.DataFrame(profile),
        "missing": pd.DataFrame([*missing, {"what": "pair", "id": "x", "reason": HOSTILE}]),
        "recovery": pd.DataFrame({"readout": [], "condition": []}),
    }


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's folder, drawn through the one path that there is."""
    from figures import redraw

    folder = tmp_path_factory.mktemp("run")
    (folder / "tables").mkdir()
    for name, table in tables().items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    (folder / "summary.json").write_text(json.dumps(summary()), encoding="utf-8")
    redraw(folder)
    return folder


@pytest.fixture(scope="module")
def page(run_dir: Path) -> str:
    """The file as written, without plotly's own code."""
    from plotly.offline import get_plotlyjs

    text = (run_dir / "report.html").read_text(encoding="utf-8")
    assert text.count(get_plotlyjs()) == 1
    return text.replace(get_plotlyjs(), "")


@pytest.fixture(scope="module")
def opened(run_dir: Path) -> str:
    """The page as Chromium has it after its scripts ran, with every host out of reach."""
    from figures.export import chromium

    command = [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={run_dir / 'profile'}"]
    command += ["--virtual-time-budget=20000", "--dump-dom", (run_dir / "report.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def test_the_page_opens_without_network_and_without_errors(opened: str) -> None:
    first = re.search(r"<html[^>]*>", opened)
    assert first and 'data-errors="0"' in first[0], first
    assert "data-first-error" not in first[0]


def test_every_figure_is_drawn(opened: str, run_dir: Path) -> None:
    # Up to the end of each figure: plotly's own code, further down, names its classes too.
    places = [rest.split("</figure>")[0] for rest in opened.split('data-figure="')[1:]]
    names = {place.split("-data", 1)[0] for place in places}
    assert names == {path.stem for path in (run_dir / "figures").glob("*.json")}
    assert len(names) == 9
    assert all("main-svg" in place for place in places)


def test_no_button_offers_to_send_the_figure_anywhere(opened: str) -> None:
    places = opened.split('data-figure="', 1)[1].rsplit("</figure>", 1)[0]
    assert "Zoom" in places, "there are buttons"
    assert not re.search("cloud|share|upload", re.sub(r"<path[^>]*>", "", places), re.IGNORECASE)


def test_text_from_data_is_never_executed(opened: str, page: str) -> None:
    assert "<title>owned" not in opened and "onerror=alert(1)>" not in page
    assert "<script>document" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page, "it is shown as text"


def test_a_figure_cannot_end_the_script_that_holds_it() -> None:
    from figures.report import report_html
    from figures.style import finish, grid

    figure = finish(grid().add_annotation(text=HOSTILE), HOSTILE, HOSTILE)
    text = report_html("t", {}, {"hostile": figure}, {}, [])
    assert HOSTILE not in text
    inside = text.split('id="hostile-data">', 1)[1].split("</script>", 1)[0]
    assert json.loads(inside)["layout"]["meta"]["caption"] == HOSTILE


def test_the_banner_is_the_first_thing_that_is_read(page: str) -> None:
    body = page.split("<body>", 1)[1]
    said = re.sub(r"<[^>]*>", "", body).strip()
    assert said.startswith("A test subject &amp; no evidence about large models.")


def test_a_full_model_has_no_banner() -> None:
    from figures.report import report_html

    text = report_html("t", summary() | {"banner": None}, {}, {}, [])
    assert 'class="banner" role="note"' not in text


def test_the_page_asks_for_nothing_over_the_network(page: str) -> None:
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//""", page)
    assert "@import" not in page and "url(" not in page
    assert "default-src 'none'" in page, "and the browser would refuse if it did"


class Links(HTMLParser):
    """Anchors, ids and headings in order of appearance."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [str(values[name]) for name in values if name == "href"]
        self.ids += [str(values[name]) for name in values if name == "id"]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


def test_contents_lead_to_sections_and_tables_to_their_files(page: str, run_dir: Path) -> None:
    found = Links()
    found.feed(page)
    inside = {link[1:] for link in found.links if link.startswith("#")}
    assert inside <= set(found.ids) and {"found", "figures", "tables", "run", "limits"} <= inside
    assert len(set(found.ids)) == len(found.ids)
    files = [link for link in found.links if not link.startswith("#")]
    assert len(files) == 4 and all((run_dir / link).is_file() for link in files)


def test_headings_go_down_one_level_at_a_time(page: str) -> None:
    found = Links()
    found.feed(page.split("<main>", 1)[1])
    assert set(found.headings) == {2, 3}
    assert found.headings[0] == 2


def test_figures_come_before_tables_and_limits_last(page: str) -> None:
    order = ["found", "figures", "tables", "run", "limits"]
    positions = [page.index(f'<h2 id="{name}"') for name in order]
    assert positions == sorted(positions)


def test_tables_show_their_first_rows_and_say_so(page: str) -> None:
    assert "first 12 of 15 rows and first 16 of 24 columns" in page
    assert page.count('<td class="number">0.3333</td>') == 12 * 12


def test_what_was_run_and_what_is_missing_are_told(page: str) -> None:
    said = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    for fact in ("parameters: seed 0", "patched, passive", "4 of 5 pairs measured", "seconds 12.5"):
        assert fact in said
    assert "prompt 2 15 tokens, window 16" in said
    assert "self max abs change 0.0" in said


def test_a_report_of_nothing_is_still_a_page() -> None:
    from figures.report import report_html

    text = report_html("Empty", {}, {}, {}, [])
    for sentence in ("No findings", "This run has no tables", "No limits", "Nothing was left out"):
        assert sentence in text


def test_saved_figures_are_the_drawn_ones(run_dir: Path) -> None:
    import plotly.io

    from figures.homeostasis import figures
    from figures.run_folder import read_tables

    drawn: Mapping[str, Any] = figures(read_tables(run_dir / "tables"))
    for name, figure in drawn.items():
        saved = plotly.io.read_json(run_dir / "figures" / f"{name}.json")
        assert isinstance(saved, go.Figure)
        assert saved.to_dict() == figure.to_dict()


def test_drawing_again_gives_the_same_bytes_and_leaves_no_partial_files(run_dir: Path) -> None:
    from figures import redraw

    before = {path: path.read_bytes() for path in run_dir.rglob("*.json")}
    written = redraw(run_dir)
    assert [path.name for path in written][-1] == "report.html" and len(written) == 10
    assert {path: path.read_bytes() for path in before} == before
    assert not list((run_dir / "figures").glob(".*"))


def test_the_command_draws_a_run_and_names_the_report(run_dir: Path) -> None:
    (run_dir / "report.html").unlink()
    line = [sys.executable, "-m", "figures", str(run_dir)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert str(run_dir / "report.html") in done.stderr
    assert (run_dir / "report.html").is_file()


def test_a_folder_that_is_no_run_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from figures.__main__ import main

    assert main(tmp_path) == 2
    said = capsys.readouterr().err
    assert "has no summary.json" in said and said.count("\n") == 1


@pytest.mark.parametrize("analysis", ["style", "os", "../x", "alignment"])
def test_an_analysis_without_figures_is_refused_by_name(analysis: str) -> None:
    from figures.run_folder import figures_of

    with pytest.raises(ValueError, match="no figures for the analysis.*for: .*homeostasis"):
        figures_of(analysis)


def test_an_unknown_format_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    from figures import redraw

    with pytest.raises(ValueError, match="choose one of svg, pdf, png"):
        redraw(tmp_path, ["gif"])


def test_without_a_chromium_the_report_is_written_all_the_same(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from figures import redraw

    (run_dir / "report.html").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    with pytest.raises(RuntimeError, match="needs a Chromium"):
        redraw(run_dir, ["svg"])
    assert (run_dir / "report.html").is_file()

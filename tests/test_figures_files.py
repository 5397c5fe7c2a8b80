"""Tables read back for figures, and figures exported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest


def test_a_table_without_rows_or_columns_is_read_back_as_one(tmp_path: Path) -> None:
    from figures.run_folder import read_tables

    pd.DataFrame().to_csv(tmp_path / "agreement.csv", index=False)
    assert read_tables(tmp_path)["agreement"].empty


def test_reading_a_csv_keeps_none_and_ids_that_look_missing(tmp_path: Path) -> None:
    from figures.run_folder import read_tables

    pd.DataFrame({"id": ["NA", "null"], "first_layer": ["3", "none"], "x": [1.5, None]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    table = read_tables(tmp_path)["t"]
    assert table["id"].tolist() == ["NA", "null"]
    assert table["first_layer"].tolist() == ["3", "none"]
    assert table["x"].isna().tolist() == [False, True]


@pytest.fixture(scope="module")
def simple() -> go.Figure:
    from figures.style import finish, grid

    figure = grid().add_scatter(x=[0, 1], y=[0, 1])
    return finish(figure, "A line from corner to corner", "Two points, no interval.")


def test_one_figure_is_exported_as_svg_pdf_and_png(simple: go.Figure, tmp_path: Path) -> None:
    from figures.export import save_all

    paths = [tmp_path / "new" / f"line.{suffix}" for suffix in ("svg", "pdf", "png")]
    assert save_all([(simple, path) for path in paths]) == paths
    svg, pdf, png = (path.read_bytes() for path in paths)
    assert b"A line from corner to corner" in svg and b"<svg" in svg
    assert pdf.startswith(b"%PDF") and png.startswith(b"\x89PNG")
    # Width in pixels, from the PNG header: twice the 900 of the page.
    assert int.from_bytes(png[16:20], "big") == 1800
    assert sorted(p.name for p in paths[0].parent.iterdir()) == ["line.pdf", "line.png", "line.svg"]


def test_export_uses_the_local_browser_and_loads_no_mathjax(
    simple: go.Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from figures import export

    asked: list[dict[str, Any]] = []

    def write(jobs: list[dict[str, Any]], **options: Any) -> None:
        asked.append(options["kopts"])
        for job in jobs:
            Path(job["path"]).write_bytes(b"drawn")

    monkeypatch.setattr(export, "_writer", lambda: write)
    monkeypatch.setenv("BROWSER_PATH", sys.executable)
    assert export.save(simple, tmp_path / "line.svg").read_bytes() == b"drawn"
    assert asked == [{"mathjax": False, "path": sys.executable}]


def test_without_a_chromium_the_error_says_what_to_install(
    simple: go.Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from figures.export import save

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    with pytest.raises(RuntimeError, match="apt install chromium.*BROWSER_PATH"):
        save(simple, tmp_path / "line.svg")


def test_an_unknown_format_is_refused_by_name(simple: go.Figure, tmp_path: Path) -> None:
    from figures.export import save

    with pytest.raises(ValueError, match=r"\.gif: choose one of svg, pdf, png"):
        save(simple, tmp_path / "line.gif")


def test_figures_load_no_model_library() -> None:
    code = "import sys, figures.homeostasis; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0

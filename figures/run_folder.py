"""A run's folder, from saved tables to figures and report."""

import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

import figures as package
from figures.export import check_format, save_all
from figures.report import write_report
from tl_geometry.runs.atomic import write_text

Figures = Callable[[Mapping[str, pd.DataFrame]], dict[str, go.Figure]]


def draw_run(run_dir: Path, export: Sequence[str] = ()) -> list[Path]:
    """Write `figures/<name>.json` (and further formats) and `report.html`; the files written.

    ValueError for a folder without a summary or an unknown analysis or format; RuntimeError
    where export lacks its browser, after everything else is written.
    """
    for suffix in export:
        check_format(f".{suffix}")
    summary, tables = _summary(run_dir), read_tables(run_dir / "tables")
    drawn = figures_of(str(summary.get("analysis")))(tables)
    written = []
    for name, figure in drawn.items():
        written.append(run_dir / "figures" / f"{name}.json")
        write_text(written[-1], (figure.to_json() or "") + "\n")
    written.append(run_dir / "report.html")
    write_report(
        written[-1],
        title=_title(summary),
        summary=summary,
        figures=drawn,
        tables=tables,
        notes=summary.get("cannot_say", []),
    )
    jobs = [
        (figure, run_dir / "figures" / f"{name}.{suffix}")
        for name, figure in drawn.items()
        for suffix in export
    ]
    return written + save_all(jobs)


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Every CSV by its name. Only an empty cell is missing: an id may well be called "NA"."""
    return {path.stem: _read(path) for path in sorted(folder.glob("*.csv"))}


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except pd.errors.EmptyDataError:  # a table of no rows has no columns either
        return pd.DataFrame()


def figures_of(analysis: str) -> Figures:
    """The figure function of an analysis: `figures` of the package of the same name here."""
    known = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.ispkg)
    if analysis not in known:
        raise ValueError(
            f"there are no figures for the analysis {analysis!r}; there are for: {', '.join(known)}"
        )
    return importlib.import_module(f"figures.{analysis}").figures


def _summary(run_dir: Path) -> dict[str, Any]:
    path = run_dir / "summary.json"
    if not run_dir.is_dir():
        raise ValueError(f"there is no folder {run_dir}; give the one that the analysis names")
    if not path.is_file():
        raise ValueError(
            f"{run_dir} is not a finished run: it has no summary.json. Give the folder that the "
            "analysis names at its end, or start the analysis again to finish it"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): run the analysis again") from error


def _title(summary: Mapping[str, Any]) -> str:
    analysis = str(summary["analysis"]).replace("_", " ").capitalize()
    model = (summary.get("model") or {}).get("name")
    return f"{analysis} in {model}" if model else analysis

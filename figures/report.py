"""One HTML file a run that opens without network: verdicts, figures, tables, limits.

Everything that comes from data is escaped by the template; the page's own policy forbids it to
load anything.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from figures.refusal.answers import SAMPLES, browser
from figures.refusal.decided import DECISIONS, decided
from figures.style import layout, number
from tl_geometry.runs.atomic import write_text

ROWS, COLUMNS = 12, 16
"""What a report shows of a table; the rest is in its file."""


_BUTTONS = 26
"""Room above a figure for plotly's buttons, in pixels."""


def write_report(
    path: Path,
    *,
    title: str,
    summary: Mapping[str, Any],
    figures: Mapping[str, go.Figure],
    tables: Mapping[str, pd.DataFrame],
    notes: Sequence[str],
) -> None:
    """`report_html` as a file, written whole."""
    write_text(path, report_html(title, summary, figures, tables, notes))


def report_html(
    title: str,
    summary: Mapping[str, Any],
    figures: Mapping[str, go.Figure],
    tables: Mapping[str, pd.DataFrame],
    notes: Sequence[str],
) -> str:
    """The page. `notes` say what the numbers cannot; a banner in `summary` comes first."""
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html.j2")
    answers = browser(tables)
    decisions = decided(tables)
    apart = {SAMPLES: answers, DECISIONS: decisions}
    listed = {name: table for name, table in tables.items() if not apart.get(name)}
    return template.render(
        title=title,
        banner=summary.get("banner"),
        subtitle=" · ".join(_subtitle(summary)),
        headline=summary.get("headline", []),
        figures=[_figure(name, figure) for name, figure in figures.items()],
        answers=answers,
        decisions=decisions,
        tables=[_table(name, table) for name, table in listed.items()],
        run=list(_what_was_run(summary)),
        missing=_missing(tables.get("missing")),
        notes=notes,
        plotly=Markup(get_plotlyjs()),
    )


def _subtitle(summary: Mapping[str, Any]) -> Iterator[str]:
    if "run" in summary:
        yield f"run {summary['run']}"
    layers, counts = summary.get("layers", {}), summary.get("counts", {})
    if {"patch", "n_layers"} <= set(layers):
        yield f"patched at layer {layers['patch']} of {layers['n_layers']}"
    if "window" in summary:
        yield f"last {summary['window']} tokens"
    if {"attempted", "measured"} <= set(counts):
        yield f"{counts['measured']} of {counts['attempted']} pairs measured"


def _figure(name: str, figure: go.Figure) -> dict[str, Any]:
    """Its title becomes a heading of the page, where it can be read aloud and wrapped."""
    meta: Mapping[str, Any] = layout(figure).meta or {}
    gone = meta.get("title_height", 0)
    page = go.Figure(figure)
    page.update_layout(
        title=None,
        width=None,
        margin_t=(layout(figure).margin.t or 0) - gone + _BUTTONS,
        height=layout(figure).height - gone + _BUTTONS,
    )
    return {
        "name": name,
        "title": meta.get("title", name),
        "caption": meta.get("caption", ""),
        "height": layout(page).height,
        # plotly writes <, > and / as \u003c …, so no text can end the script that holds it.
        "json": Markup(page.to_json()),
    }


def _table(name: str, table: pd.DataFrame) -> dict[str, Any]:
    shown = table.iloc[:ROWS, :COLUMNS]
    return {
        "name": name,
        "extent": _extent(len(table), ROWS, "rows")
        + " and "
        + _extent(table.shape[1], COLUMNS, "columns"),
        "columns": [str(c) for c in shown],
        "rows": [[_cell(value) for value in row] for row in shown.astype(object).to_numpy()],
    }


def _extent(n: int, most: int, what: str) -> str:
    return f"first {most} of {n} {what}" if n > most else f"all {n} {what}"


def _cell(value: object) -> tuple[str, str]:
    """Text and style; missing is an empty cell, as in the file."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "", ""
    if isinstance(value, float):
        return number(value, 4), "number"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value), "number"
    return str(value), "long" if len(str(value)) > 20 else ""


def _what_was_run(summary: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Groups of names and values."""
    groups = {
        "Model": summary.get("model"),
        "Layers": summary.get("layers"),
        "Counts": summary.get("counts"),
        "Software checks (must be zero up to rounding)": summary.get("software_checks"),
        "Effort": {k: summary[k] for k in ("seconds", "batch_size") if k in summary},
        "Settings": summary.get("spec"),
        "Versions and hardware": summary.get("versions"),
        "Identity": {k: summary[k] for k in ("run", "key") if k in summary},
    }
    for name, content in groups.items():
        if content:
            yield name, list(_flat(content))


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}: ")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value)) or "none"
        else:
            yield name, "not given" if value is None else str(value)


def _missing(table: pd.DataFrame | None) -> list[tuple[str, str, int]]:
    """(what, reason, how often), most frequent first."""
    if table is None or table.empty:
        return []
    counted = Counter(zip(table["what"].astype(str), table["reason"].astype(str), strict=True))
    return [(what, reason, k) for (what, reason), k in counted.most_common(20)]

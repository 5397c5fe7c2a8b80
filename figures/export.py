"""Figures as files for papers: svg, pdf or png, drawn by a local Chromium without network."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from figures.style import WIDTH, layout
from tl_geometry.runs.atomic import atomic_write

FORMATS = ("svg", "pdf", "png")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def chromium() -> str:
    """Path of a Chromium: `BROWSER_PATH` if set, else the first one installed."""
    given = os.environ.get("BROWSER_PATH")
    found = given if given and Path(given).is_file() else None
    found = found or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise RuntimeError(
            "exporting figures needs a Chromium, and none was found: install it (Debian: "
            "apt install chromium), or set BROWSER_PATH to its program file"
        )
    return found


def check_format(suffix: str) -> None:
    """ValueError unless `suffix` is `.svg`, `.pdf` or `.png`."""
    if suffix.removeprefix(".") not in FORMATS:
        raise ValueError(
            f"figures cannot be written as {suffix or 'a file without an ending'}: "
            f"choose one of {', '.join(FORMATS)}"
        )


def save(figure: go.Figure, path: Path, *, scale: float = 2.0) -> Path:
    """Write one figure; the ending of `path` chooses the format. `scale` is for png only."""
    return save_all([(figure, path)], scale=scale)[0]


def save_all(figures: Sequence[tuple[go.Figure, Path]], *, scale: float = 2.0) -> list[Path]:
    """Write many figures with one start of the browser.

    ValueError for another format; RuntimeError without Chromium or kaleido, naming what to do.
    """
    for _, path in figures:
        check_format(path.suffix)
    if not figures:
        return []
    write, browser = _writer(), chromium()
    with tempfile.TemporaryDirectory() as drawn:
        jobs = [_job(f, Path(drawn) / f"{i}{p.suffix}", scale) for i, (f, p) in enumerate(figures)]
        # MathJax would come from the network, and a browser of kaleido's own would be downloaded.
        write(jobs, cancel_on_error=True, kopts={"mathjax": False, "path": browser})
        for job, (_, path) in zip(jobs, figures, strict=True):
            with atomic_write(path) as partial:
                partial.write_bytes(Path(job["path"]).read_bytes())
    return [path for _, path in figures]


def _job(figure: go.Figure, path: Path, scale: float) -> dict[str, Any]:
    size = {"width": layout(figure).width or WIDTH, "height": layout(figure).height}
    sharp = {"scale": scale if path.suffix == ".png" else 1}
    return {"fig": figure, "path": path, "opts": {"format": path.suffix[1:], **size, **sharp}}


def _writer() -> Callable[..., Any]:
    try:
        from kaleido import write_fig_from_object_sync
    except ImportError:
        raise RuntimeError(
            "exporting figures needs kaleido: pip install 'tl-geometry[export]'"
        ) from None
    return write_fig_from_object_sync

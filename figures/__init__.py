"""Figures from saved tables, and one report a run: `python -m figures RUN_DIR`.

Everything here is a function of tables and `summary.json`: no model is loaded and nothing is
measured, so a figure can be redrawn at any time from what was written.
"""

from collections.abc import Sequence
from pathlib import Path


def redraw(run_dir: Path, export: Sequence[str] = ()) -> list[Path]:
    """Draw a run's figures and report anew from its saved tables; the files written.

    `export` names further formats: svg, pdf, png. Imported late, so that `--help` is quick.
    """
    from figures.run_folder import draw_run

    return draw_run(run_dir, export)

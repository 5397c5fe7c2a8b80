"""Draw the figures and the report of a run again from its saved tables.

python -m figures RUN_DIR [--export svg pdf png]
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from figures import redraw


def main(
    run_dir: Annotated[Path, tyro.conf.Positional],
    export: tuple[Literal["svg", "pdf", "png"], ...] = (),
) -> int:
    """Draw the figures and the report of a run again from its saved tables.

    Args:
        run_dir: The folder of a finished run, for example runs/homeostasis/NAME.
        export: Also write every figure in these formats (needs Chromium).
    """
    try:
        written = redraw(run_dir, export)
    except (ValueError, RuntimeError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    report = next(path for path in written if path.name == "report.html")
    sys.stderr.write(f"{len(written)} files written; the report is {report}\n")
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="python -m figures"))

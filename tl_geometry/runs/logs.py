"""A log file beside the results."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tl_geometry.runs.atomic import space_needed


class LogFile(logging.FileHandler):
    """Goes on without the lines that a full disk does not take: the record's own writes say it in
    one sentence, which tracebacks about the log would bury."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Messages of this project from INFO up, and warnings of everything else, go to the file."""
    with space_needed(path):
        handler = LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, own = logging.getLogger(), [logging.getLogger(n) for n in ("tl_geometry", "analyses")]
    levels = [logger.level for logger in own]
    root.addHandler(handler)
    for logger in own:
        logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    try:
        yield
    except BaseException as error:
        # Straight to the file: on the terminal the caller says it in one sentence.
        text = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped by an error"
        trace = (type(error), error, error.__traceback__)
        handler.handle(logging.LogRecord(__name__, logging.ERROR, __file__, 0, text, None, trace))
        raise
    finally:
        for logger, level in zip(own, levels, strict=True):
            logger.setLevel(level)
        root.removeHandler(handler)
        handler.close()

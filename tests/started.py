"""A program's command line, started in this process, and what it left behind."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Start:
    """What one start of a program left behind."""

    status: int
    log: str
    """Everything that it said, in one text."""
    out: str
    loaded: tuple[str, ...]
    """Models whose weights were read or drawn, in their order."""


def started(
    main: Callable[[list[str]], int],
    options: Sequence[object],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    loads: list[str] | None = None,
) -> Start:
    """What was said before is left out. Models are those that a fixture notes in `loads`; without
    it, those that the program says it loads."""
    caplog.clear()
    capsys.readouterr()
    noted = [] if loads is None else loads
    noted.clear()
    with caplog.at_level(logging.INFO):
        try:
            status = main([str(option) for option in options])
        except SystemExit as stop:
            status = int(str(stop.code))
    out, err = capsys.readouterr()
    said = [record.getMessage() for record in caplog.records]
    if loads is None:
        noted = [line.removeprefix("loading ") for line in said if line.startswith("loading ")]
    return Start(status, "\n".join([*said, err]), out, tuple(noted))

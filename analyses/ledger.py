"""What every start of a run took: one line a start in `<run>/ledger.jsonl`.

A line is written when a start begins and completed when it ends. One that was killed leaves it
without seconds; then the last row that it measured says how long it went on.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import TIMEOUT_MAX, Timer
from typing import Any

from analyses import budget
from analyses.budget import WARN, Budgeted, Deadline, Limit, Past, limits, seconds_left, tightest
from tl_geometry.runs.atomic import write_text

log = logging.getLogger(__name__)
LEDGER = "ledger.jsonl"
Line = dict[str, Any]


@dataclass(frozen=True)
class Account:
    """The start that goes on, and the limits it is under."""

    began: float
    limits: Sequence[Limit]

    @property
    def deadline(self) -> Deadline:
        return Deadline(self.began + seconds_left(self.limits))

    def stated(self) -> str:
        """What is spent by now of the limit that is reached first."""
        return tightest(self.limits).stated(budget.now() - self.began)

    def warn(self) -> None:
        log.warning("%.0f %% of the budget is spent: %s", 100 * WARN, self.stated())


@contextmanager
def spending(config: Budgeted, folder: Path, step: str) -> Iterator[Account]:
    """Keep the ledger of an open run while the block lasts, and warn at 80 % of a limit.

    ValueError for a ledger that was damaged.
    """
    began = budget.now()
    account, earlier = Account(began, limits_of(config, folder)), _closed(folder)
    _write(folder, [*earlier, _line(step, began, None, config.hourly_rate)])
    with _warned_in_time(account):
        try:
            yield account
        finally:
            seconds = budget.now() - began
            _write(folder, [*earlier, _line(step, began, seconds, config.hourly_rate)])


def limits_of(config: Budgeted, folder: Path) -> list[Limit]:
    """What stands, with what is spent of it: by this run, and by all in the folder above it."""
    paths = sorted(folder.absolute().parent.glob(f"*/{LEDGER}"))
    everything = [line for path in paths for line in _closed(path.parent)]
    return limits(config, _pasts(_closed(folder)), _pasts(everything))


def enter(folder: Path, step: str, began: float, seconds: float, hourly_rate: float | None) -> None:
    """One more line, for work that was done before the run was opened."""
    _write(folder, [*_lines(folder), _line(step, began, seconds, hourly_rate)])


@contextmanager
def _warned_in_time(account: Account) -> Iterator[None]:
    """By a timer of its own: batches may be long, and may be measured elsewhere."""
    wait = seconds_left(account.limits, WARN)
    if seconds_left(account.limits) <= 0 or wait > TIMEOUT_MAX:  # too late, or never
        yield
        return
    timer = Timer(max(0.0, wait), account.warn)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _line(step: str, began: float, seconds: float | None, rate: float | None) -> Line:
    usd = None if seconds is None else Past(seconds, rate).usd(None)
    return {
        "step": step,
        "start": datetime.fromtimestamp(began, UTC).isoformat(timespec="milliseconds"),
        "seconds": None if seconds is None else round(seconds, 3),
        "usd": None if usd is None else round(usd, 6),
        "hourly_rate": rate,
    }


def _closed(folder: Path) -> list[Line]:
    """The lines of a run; one without an end lasts to the last row on record."""
    lines = _lines(folder)
    for i, line in enumerate(lines):
        if line["seconds"] is None:
            began = datetime.fromisoformat(line["start"]).timestamp()
            lasted = max(0.0, _last_written(folder) - began)
            lines[i] = _line(line["step"], began, lasted, line["hourly_rate"])
    return lines


def _last_written(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder / LEDGER, *folder.glob("*/rows.jsonl")))


def _lines(folder: Path) -> list[Line]:
    path = folder / LEDGER
    if not path.exists():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for line in lines:
            datetime.fromisoformat(line["start"])
            _ = line["step"], line["hourly_rate"], float(line["seconds"] or 0)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} was damaged: repair it, or take it away and lose count"
        ) from error
    return lines


def _pasts(lines: Sequence[Line]) -> list[Past]:
    return [Past(line["seconds"], line["hourly_rate"]) for line in lines]


def _write(folder: Path, lines: Sequence[Line]) -> None:
    write_text(folder / LEDGER, "".join(json.dumps(line) + "\n" for line in lines))

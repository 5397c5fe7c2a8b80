"""Limits of money and time, by a clock that stands still unless it is moved."""

import json
import logging
import os
import pickle
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import pytest

from analyses import budget
from analyses.budget import (
    SPENT,
    BudgetSpentError,
    Deadline,
    Past,
    cost,
    limits,
    or_spent,
    seconds_left,
)
from analyses.ledger import LEDGER, Account, enter, spending
from analyses.refusal.config import Families
from analyses.work import work_off
from tl_geometry.runs import RowLog

NOON = 1_767_268_800.0
"""2026-01-01, 12:00 UTC."""
HOUR = 3600.0


@dataclass
class Clock:
    time: float = NOON

    def __call__(self) -> float:
        return self.time


@dataclass
class Alarm:
    """Stands for a timer: never rings by itself."""

    wait: float
    act: Any
    daemon: bool = False
    state: str = "made"

    def start(self) -> None:
        self.state = "started"

    def cancel(self) -> None:
        self.state = "cancelled"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budget, "now", clock)
    return clock


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[Alarm]:
    made: list[Alarm] = []

    def alarm(wait: float, act: Any) -> Alarm:
        made.append(Alarm(wait, act))
        return made[-1]

    monkeypatch.setattr("analyses.ledger.Timer", alarm)
    return made


def config(**options: Any) -> Families:
    given = Families(models=("pocket-mistral",), **options)
    given.check()
    return given


def start(
    folder: Path, clock: Clock, hours: float, step: str = "families", **options: Any
) -> Account:
    """One start of a run that takes so many hours."""
    folder.mkdir(parents=True, exist_ok=True)
    with spending(config(**options), folder, step) as account:
        clock.time += hours * HOUR
    return account


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LEDGER).read_text().splitlines()]


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "hours"),
    [
        ({}, inf),
        ({"hourly_rate": 2.0}, inf),
        ({"max_hours": 3.0}, 3 - 1),
        ({"max_cost": 10.0, "hourly_rate": 2.0}, 5 - 1),
        ({"max_total_cost": 10.0, "hourly_rate": 2.0}, 5 - 1 - 2),
        ({"max_cost": 10.0, "max_hours": 1.5, "hourly_rate": 2.0}, 0.5),
        ({"max_cost": 2.0, "max_hours": 9.0, "hourly_rate": 2.0}, 0),
        ({"max_cost": 1.0, "hourly_rate": 2.0}, -0.5),
    ],
    ids=str,
)
def test_the_limit_that_is_reached_first_counts(options: dict[str, Any], hours: float) -> None:
    mine, other = [Past(HOUR)], [Past(2 * HOUR)]
    left = seconds_left(limits(config(**options), mine, mine + other))
    assert left == pytest.approx(hours * HOUR)


def test_an_hour_costs_what_was_said_then_or_else_what_is_said_now() -> None:
    starts = [Past(HOUR, 3.0), Past(2 * HOUR), Past(HOUR / 2, 1.0)]
    assert cost(starts, 5.0) == pytest.approx(3 + 10 + 0.5)
    assert cost(starts, None) == pytest.approx(3 + 0.5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_cost": 5.0}, "--max-cost needs the price of an hour: add --hourly-rate"),
        ({"max_total_cost": 5.0}, "--max-total-cost needs the price of an hour"),
        ({"max_cost": 0.0, "hourly_rate": 1.0}, "--max-cost 0: give a number above 0"),
        ({"max_hours": -1.0}, "--max-hours -1: give a number above 0"),
        ({"max_hours": inf}, "--max-hours inf: give a number above 0"),
        ({"hourly_rate": float("nan")}, "--hourly-rate nan: give a number above 0"),
        ({"max_total_cost": -2.0, "hourly_rate": 1.0}, "--max-total-cost -2"),
    ],
    ids=str,
)
def test_what_is_no_budget_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        config(**options)


def test_the_other_settings_are_still_checked() -> None:
    with pytest.raises(ValueError, match="seed=-1"):
        config(seed=-1, max_hours=1.0)


# --- the deadline ---------------------------------------------------------------------------------


def test_a_deadline_stops_at_its_moment_and_not_before(clock: Clock) -> None:
    deadline = pickle.loads(pickle.dumps(Deadline(NOON + 10)))
    clock.time = NOON + 9.999
    deadline.check()
    clock.time = NOON + 10
    with pytest.raises(BudgetSpentError):
        deadline.check()
    clock.time = 1e15
    Deadline().check()


def test_running_into_it_is_a_reason_and_other_errors_stay_errors() -> None:
    def measure(error: Exception) -> str:
        raise error

    assert or_spent(measure)(BudgetSpentError()) == SPENT
    with pytest.raises(KeyError):
        or_spent(measure)(KeyError())


@dataclass
class Plans:
    plan: dict[str, Any]

    def set_plan(self, plan: Any) -> None:
        self.plan = dict(plan)


def test_work_stops_between_two_batches_and_goes_on_there(clock: Clock, tmp_path: Path) -> None:
    items = {f"k{i}": i for i in range(7)}
    plans, seen = Plans({}), []

    def measure(batch: Any) -> list[dict[str, Any]]:
        clock.time += 60
        seen.append(list(batch))
        return [{"status": "ok", "reason": "", "value": i} for i in batch]

    def work(deadline: Deadline) -> Any:
        return work_off(plans, RowLog(tmp_path / "r"), "p", items, 2, measure, deadline=deadline)

    with pytest.raises(BudgetSpentError):
        work(Deadline(NOON + 100))
    assert seen == [[0, 1], [2, 3]] and len(RowLog(tmp_path / "r").rows()) == 4
    with pytest.raises(BudgetSpentError):
        work(Deadline(NOON + 100))
    assert len(seen) == 2
    rows = work(Deadline(NOON + 1000))
    assert seen[2:] == [[4, 5], [6]] and [row["value"] for row in rows] == list(range(7))
    assert work(Deadline(0)) == rows  # nothing is left to do


# --- the ledger -----------------------------------------------------------------------------------


def test_a_start_is_a_line(clock: Clock, tmp_path: Path, alarms: list[Alarm]) -> None:
    start(tmp_path / "x", clock, 0.5, hourly_rate=3.0)
    start(tmp_path / "x", clock, 0.25, step="sizes")
    first, second = lines(tmp_path / "x")
    assert first["start"] == "2026-01-01T12:00:00.000+00:00"
    assert (first["step"], first["seconds"], first["usd"]) == ("families", 1800, 1.5)
    assert second["start"] == "2026-01-01T12:30:00.000+00:00"
    assert (second["step"], second["seconds"], second["usd"]) == ("sizes", 900, None)
    assert alarms == []


def test_an_error_and_ctrl_c_cost_as_well(clock: Clock, tmp_path: Path) -> None:
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), spending(config(), tmp_path, "families"):
            clock.time += 60
            raise error
    assert [line["seconds"] for line in lines(tmp_path)] == [60, 60]


def test_starts_of_a_step_add_up(clock: Clock, tmp_path: Path, alarms: list[Alarm]) -> None:
    for hours in (1, 2, 0.5):
        start(tmp_path / "x", clock, hours, hourly_rate=1.0)
    account = start(tmp_path / "x", clock, 0, max_cost=4.0, hourly_rate=1.0)
    assert account.deadline.at == pytest.approx(clock.time + HOUR / 2)
    assert account.stated() == "$3.50 of $4.00 (--max-cost)"
    assert start(tmp_path / "y", clock, 0, max_hours=4.0).deadline.at == clock.time + 4 * HOUR


def test_the_total_is_that_of_all_steps(clock: Clock, tmp_path: Path, alarms: list[Alarm]) -> None:
    start(tmp_path / "verify", clock, 1, hourly_rate=1.0)
    start(tmp_path / "families", clock, 2, hourly_rate=2.0)
    start(tmp_path / "families.old-1", clock, 1, hourly_rate=1.0)
    account = start(tmp_path / "sizes", clock, 0, max_total_cost=10.0, hourly_rate=2.0)
    assert account.stated() == "$6.00 of $10.00 (--max-total-cost)"
    assert account.deadline.at == clock.time + 2 * HOUR


def test_work_before_the_run_was_opened_is_a_line_too(clock: Clock, tmp_path: Path) -> None:
    enter(tmp_path, "verify", NOON - 60, 30, 2.4)
    (line,) = lines(tmp_path)
    assert (line["step"], line["seconds"], line["usd"]) == ("verify", 30, 0.02)
    assert line["start"] == "2026-01-01T11:59:00.000+00:00"


def test_a_killed_start_lasted_until_its_last_row(clock: Clock, tmp_path: Path) -> None:
    run = tmp_path / "x"
    start(run, clock, 1)
    killed = spending(config(hourly_rate=2.0), run, "families")
    killed.__enter__()
    (run / "tiny").mkdir()
    rows = run / "tiny" / "rows.jsonl"
    rows.touch()
    for path, hours in ((rows, 4), (run / LEDGER, 1)):
        os.utime(path, (NOON + hours * HOUR, NOON + hours * HOUR))
    assert lines(run)[-1]["seconds"] is None
    clock.time = NOON + 100 * HOUR
    account = start(tmp_path / "y", clock, 0, max_total_cost=20.0, hourly_rate=2.0)
    assert account.stated() == "$8.00 of $20.00 (--max-total-cost)"
    start(run, clock, 1)
    assert [line["seconds"] for line in lines(run)] == [HOUR, 3 * HOUR, HOUR]
    assert lines(run)[1]["usd"] == 6


@pytest.mark.parametrize("content", ["{", "[]", '{"step": "x"}', '{"step": 1, "start": "soon"}'])
def test_a_damaged_ledger_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / LEDGER).write_text(content + "\n")
    with pytest.raises(ValueError, match=r"ledger.jsonl was damaged"):
        start(tmp_path / "x", Clock(), 1)


# --- the warning ----------------------------------------------------------------------------------


def test_a_warning_comes_once_at_80_percent(
    clock: Clock, tmp_path: Path, alarms: list[Alarm], caplog: pytest.LogCaptureFixture
) -> None:
    start(tmp_path, clock, 1)
    with (
        caplog.at_level(logging.WARNING),
        spending(config(max_cost=20.0, max_hours=50.0, hourly_rate=2.0), tmp_path, "families"),
    ):
        (alarm,) = alarms
        assert (alarm.wait, alarm.daemon, alarm.state) == (7 * HOUR, True, "started")
        clock.time += alarm.wait
        alarm.act()
    assert caplog.messages == ["80 % of the budget is spent: $16.00 of $20.00 (--max-cost)"]
    assert alarm.state == "cancelled"


@pytest.mark.parametrize(("spent", "waits"), [(3.9, [0.1]), (4.1, [0]), (5, []), (6, [])])
def test_the_warning_of_a_later_start(
    spent: float, waits: list[float], clock: Clock, tmp_path: Path, alarms: list[Alarm]
) -> None:
    start(tmp_path, clock, spent)
    start(tmp_path, clock, 0, max_hours=5.0)
    assert [alarm.wait for alarm in alarms] == pytest.approx([hours * HOUR for hours in waits])


def test_no_limit_has_no_warning_however_large(clock: Clock, tmp_path: Path) -> None:
    start(tmp_path, clock, 1, max_hours=1e300)
    start(tmp_path, clock, 1)

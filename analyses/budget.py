"""How long a step may go on: limits in money and hours, what is spent, and when to stop.

A limit is turned into a moment of the clock when a start begins. Only that moment travels to where
models are measured (this process, others, other machines), and is looked at between two batches.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from math import inf
from typing import TypeVar

T = TypeVar("T")
WARN = 0.8
"""Share of a limit at which a warning comes."""
SPENT = "budget spent"
"""The reason of a model that is not wholly measured because of its step's budget."""

now: Callable[[], float] = time.time
"""Seconds since 1970; the one clock that processes and machines share."""


class BudgetSpentError(Exception):
    """Time to stop: raised between two batches, when everything measured is on record."""


@dataclass(frozen=True)
class Deadline:
    """The moment after which no batch begins."""

    at: float = inf

    def check(self) -> None:
        """BudgetSpentError from that moment on."""
        if now() >= self.at:
            raise BudgetSpentError(SPENT)


def or_spent(measure: Callable[[T], str]) -> Callable[[T], str]:
    """The same, but that running into the deadline is a reason like others."""

    @wraps(measure)
    def measured(task: T) -> str:
        try:
            return measure(task)
        except BudgetSpentError:
            return SPENT

    return measured


@dataclass(frozen=True, kw_only=True)
class Budgeted:
    """Options of a step that may be stopped by a budget; none of them changes a number."""

    max_cost: float | None = None
    """Stop when this step has cost so many USD, all its starts together (needs --hourly-rate)."""
    hourly_rate: float | None = None
    """USD an hour of the machine, or of all machines at work together."""
    max_hours: float | None = None
    """Stop when this step has taken so many hours, all its starts together."""
    max_total_cost: float | None = None
    """Stop when all runs in the folder --out have cost so many USD (needs --hourly-rate)."""

    def check(self) -> None:
        """ValueError for what is no budget."""
        super().check()  # pyright: ignore[reportAttributeAccessIssue]  # a mixin of `Common`
        for name in ("max_cost", "hourly_rate", "max_hours", "max_total_cost"):
            value, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if value is not None and not 0 < value < inf:
                raise ValueError(f"{option} {value:g}: give a number above 0")
            if value is not None and name.endswith("cost") and self.hourly_rate is None:
                raise ValueError(
                    f"{option} needs the price of an hour: add --hourly-rate USD, e.g. 1.10"
                )


@dataclass(frozen=True)
class Past:
    """One earlier start."""

    seconds: float
    hourly_rate: float | None = None
    """What was said of its price then."""

    def usd(self, otherwise: float | None) -> float | None:
        """What it cost; where its price was not said, by the rate that is known now."""
        rate = otherwise if self.hourly_rate is None else self.hourly_rate
        return None if rate is None else self.seconds / 3600 * rate


def cost(starts: Iterable[Past], hourly_rate: float | None) -> float:
    """USD of all starts whose price is known, or is known now."""
    return sum(start.usd(hourly_rate) or 0.0 for start in starts)


@dataclass(frozen=True)
class Limit:
    """One limit, in its own unit."""

    option: str
    unit: str
    """`$`, or `hours`."""
    allowed: float
    spent: float
    """Before this start."""
    an_hour: float
    """What an hour adds."""

    def seconds_to(self, share: float) -> float:
        """Until this share of it is spent; below 0 where it is."""
        return (share * self.allowed - self.spent) / self.an_hour * 3600

    def stated(self, seconds: float) -> str:
        """What is spent after so many seconds of this start: `$4.10 of $5.00 (--max-cost)`."""
        spent = self.spent + seconds / 3600 * self.an_hour
        before, after = ("$", "") if self.unit == "$" else ("", f" {self.unit}")
        return f"{before}{_short(spent)} of {before}{_short(self.allowed)}{after} ({self.option})"


def _short(amount: float) -> str:
    return f"{amount:.2f}" if amount >= 0.1 else f"{amount:.2g}"


def limits(config: Budgeted, step: list[Past], everything: list[Past]) -> list[Limit]:
    """What stands, with what earlier starts of the step, and of all steps, have spent of it."""
    return list(_limits(config, step, everything))


def _limits(config: Budgeted, step: list[Past], everything: list[Past]) -> Iterator[Limit]:
    rate = config.hourly_rate
    if config.max_hours is not None:
        hours = sum(start.seconds for start in step) / 3600
        yield Limit("--max-hours", "hours", config.max_hours, hours, 1)
    if rate is None:
        return
    if config.max_cost is not None:
        yield Limit("--max-cost", "$", config.max_cost, cost(step, rate), rate)
    if config.max_total_cost is not None:
        yield Limit("--max-total-cost", "$", config.max_total_cost, cost(everything, rate), rate)


def seconds_left(among: Iterable[Limit], share: float = 1.0) -> float:
    """Until the first limit is reached to this share; infinite where there is none."""
    return min((limit.seconds_to(share) for limit in among), default=inf)


def tightest(among: Iterable[Limit]) -> Limit:
    """The limit that is reached first."""
    return min(among, key=lambda limit: limit.seconds_to(1.0))

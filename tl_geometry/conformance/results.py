"""What a check answers."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "failed", "limit"]


@dataclass(frozen=True)
class Result:
    """One check's answer."""

    check: str
    status: Status
    worst: float | None
    """Largest deviation found; None where the answer is yes or no."""
    detail: str


def measured(check: str, worst: float, allowed: float, detail: str) -> Result:
    return Result(check, "ok" if worst <= allowed else "failed", worst, f"{detail} ≤ {allowed:g}")


def yes(check: str, holds: bool, detail: str) -> Result:
    return Result(check, "ok" if holds else "failed", None, detail)

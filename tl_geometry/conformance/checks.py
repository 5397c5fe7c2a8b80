"""All checks; each takes a `Subject` and gives the worst difference and what it allows."""

from collections.abc import Callable

from tl_geometry.conformance import reading, writing
from tl_geometry.conformance.results import Result
from tl_geometry.conformance.subject import Subject

CHECKS: tuple[Callable[[Subject], Result], ...] = (
    reading.logits, reading.rows_alone, reading.shapes, reading.scales, reading.one_bos,
    writing.own_values, writing.other_values, writing.resuming, writing.generation,
    writing.exception, writing.writable,
)  # fmt: skip
"""In the order in which they are run."""


def run_check(check: Callable[[Subject], Result], subject: Subject) -> Result:
    """One check; whatever it raises is its answer, and the others go on."""
    try:
        return check(subject)
    except Exception as error:  # a model may fail in any way: that is what is asked
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return Result(check.__name__.replace("_", " "), "failed", None, reason)

"""What every `summary.json` holds, in this order: the report is made of it."""

from collections.abc import Iterable, Mapping
from typing import Any

from tl_geometry.runs import Spec, versions


def summary_of(
    spec: Spec,
    run: str,
    *,
    banner: str | None,
    headline: Iterable[str],
    counts: Mapping[str, Any],
    cannot_say: Iterable[str],
    seconds: float,
    **more: Any,
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions, seconds, and what `more`
    says of itself.

    `run` is the run folder's name, `seconds` the wall-clock time of the command.
    """
    return {
        "analysis": spec.analysis,
        "run": run,
        "key": spec.key,
        "banner": banner,
        "headline": list(headline),
        "counts": dict(counts),
        **more,
        "cannot_say": list(cannot_say),
        "spec": spec.as_dict(),
        "versions": versions(),
        "seconds": round(seconds, 1),
    }

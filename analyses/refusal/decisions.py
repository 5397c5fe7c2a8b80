"""The plan's decision points (§5.1, §5.2, §5.4) and review questions (R0 to R3), as code."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from analyses.refusal.curves import SHAPES
from analyses.refusal.precision import PRESERVED
from analyses.refusal.verdict import PARTIAL, WORKS
from figures.rows import records, select

Row = Mapping[str, Any]
BEST, OWN_RULE = "best depth on validation", "own rule"
PROMISING = 0.4
"""Coherent refusals from which the plan would try a larger model of a family again (§5.4)."""
ALPHA = 0.05


@dataclass(frozen=True)
class Decision:
    """What the plan's rule says to do, and the numbers that it says so for."""

    point: str
    """Section or review question of the plan."""
    about: str
    action: str
    reason: str


def decision_table(decisions: Sequence[Decision]) -> pd.DataFrame:
    columns = ["point", "about", "action", "reason"]
    return pd.DataFrame([asdict(one) for one in decisions], columns=columns)


def after_families(
    verdicts: pd.DataFrame, agreement: pd.DataFrame, everywhere: bool = False
) -> list[Decision]:
    """§5.1: which families continue; §5.4: the larger Llama; R1. `everywhere`: whether the fallback
    was searched. Between methods it is decided by validation prompts, and told by test prompts."""
    rows = records(select(verdicts, choice=BEST)) if len(verdicts) else []
    names = dict.fromkeys(row["model"] for row in rows)
    best = {name: _best([row for row in rows if row["model"] == name]) for name in names}
    found = [_continues(row) for row in best.values()]
    if everywhere and best and all(row["coherent"] < PARTIAL for row in best.values()):
        found.append(
            Decision(
                "5.1 / 6.1",
                "all models",
                "report a negative result",
                "depths 10 % to 90 % at the fallback's doses were searched, and nothing refused",
            )
        )
    found += [_finding(row) for row in records(agreement) if row["disagree"]]
    found += [_larger(row) for row in best.values() if "llama" in row["family"]]
    return [*found, _r1(list(best.values()), agreement)]


def _best(rows: Sequence[Row]) -> Row:
    return max(rows, key=lambda row: row["validation"])


def _continues(row: Row) -> Decision:
    action = "leave out of the sizes: a negative result"
    if row["coherent"] >= WORKS:
        action = f"go on to the sizes with {row['method'].upper()} at block {row['layer']:.0f}"
    elif row["coherent"] >= PARTIAL:
        action = "go on to the sizes with a caveat: 60 % was not reached"
    return Decision("5.1", row["model"], action, _numbers(row))


def _numbers(row: Row) -> str:
    return (
        f"{row['coherent']:.0%} [{row['coherent_low']:.0%}, {row['coherent_high']:.0%}] coherent, "
        f"{row['garbled']:.0%} garbled ({row['method'].upper()}, {row['verdict']})"
    )


def _finding(row: Row) -> Decision:
    reason = (
        f"{row['first'].upper()} {row['coherent_first']:.0%}, {row['second'].upper()} "
        f"{row['coherent_second']:.0%} of the same prompts, McNemar p = {row['mcnemar_p']:.2g}"
    )
    return Decision("5.1", row["model"], "log it: the methods disagree, itself a finding", reason)


def _larger(row: Row) -> Decision:
    again = row["coherent"] >= PROMISING
    action = "add the 70B model again" if again else "leave the 70B model out"
    return Decision("5.4", row["model"], action, f"{row['coherent']:.0%} coherent, 40 % asked for")


def _r1(best: Sequence[Row], agreement: pd.DataFrame) -> Decision:
    works = [row["model"] for row in best if row["coherent"] >= WORKS]
    differ = [row["model"] for row in records(agreement) if row["disagree"]]
    return Decision(
        "R1",
        "which families work?",
        f"{len(works)} of {len(best)}: {', '.join(works) or 'none'}",
        f"methods disagree on: {', '.join(differ) or 'none'}",
    )


def after_sizes(verdicts: pd.DataFrame, curve: pd.DataFrame) -> list[Decision]:
    """§5.2: which sizes are quantised; §5.4: a still larger one; R2."""
    rows = records(select(verdicts, choice=BEST)) if len(verdicts) else []
    names = list(dict.fromkeys(row["model"] for row in rows))
    best = {name: _best([row for row in rows if row["model"] == name]) for name in names}
    found = [
        Decision(
            "5.2", name, "quantise" if row["coherent"] >= WORKS else "leave out", _numbers(row)
        )
        for name, row in best.items()
    ]
    found += [_next_size(row, rows) for row in records(curve)]
    depths = ", ".join(f"{name} {row['depth_percent']:.0f} %" for name, row in best.items())
    shape = "; ".join(_shape(row) for row in records(curve)) or "one size only"
    return [*found, Decision("R2", "shape of the curve, and shift of the layer", shape, depths)]


def _shape(row: Row) -> str:
    share = {name: row[name] for name in SHAPES if row[name] >= 0.005}
    spread = ", ".join(f"{name} {value:.0%}" for name, value in share.items())
    return f"{row['method'].upper()}: {row['shape']} (resamples: {spread})"


def _next_size(row: Row, verdicts: Sequence[Row]) -> Decision:
    """The plan: add the largest size again if the curve is not monotonic and its end is the top."""
    names = row["sizes"].split(", ")
    rates = {r["model"]: r["coherent"] for r in verdicts if r["method"] == row["method"]}
    top = max(names, key=lambda name: rates[name])
    again = row["shape"] not in ("rising", "falling", "flat") and top == names[-1]
    action = "add a larger size again" if again else "no larger size is needed"
    return Decision("5.4", f"sizes, {row['method'].upper()}", action, f"{row['shape']}, top {top}")


def after_quantization(table: pd.DataFrame) -> list[Decision]:
    """§5.4: other quantisers; R3."""
    rows = [row for row in records(table) if row["quantization"] != "none"]
    changed = [row for row in rows if _sensitive(row)]
    names = dict.fromkeys(f"{row['model']} {row['quantization']}" for row in changed)
    action = "compare GPTQ and AWQ too" if changed else "no other quantiser is needed"
    reason = f"changed: {', '.join(names) or 'none'} of {len(rows)} comparisons"
    return [
        Decision("5.4", "GPTQ/AWQ", action, reason),
        Decision("R3", "does quantisation matter?", "yes" if changed else "not measurably", reason),
    ]


def _sensitive(row: Row) -> bool:
    return row["mcnemar_p"] < ALPHA or row["cosine_to_full"] <= PRESERVED


def sentence(row: Row) -> str:
    return f"* **{row['point']}** {row['about']}: {row['action']} ({row['reason']})"


def findings(title: str, decided: Sequence[Row]) -> Iterator[str]:
    """Lines of FINDINGS_LOG.md, from rows of the table of decisions."""
    yield f"## {title}"
    yield ""
    yield from map(sentence, decided)
    yield ""

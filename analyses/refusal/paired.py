"""Two ways of steering compared on the same prompts."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar

from analyses.refusal.verdict import verdict
from figures.rows import records, select

Row = Mapping[str, Any]
ALPHA = 0.05


def mcnemar_p(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Exact two-sided p of McNemar's test: do two shares of the same prompts differ?

    McNemar (1947), Psychometrika 12. ValueError where the prompts are not the same number.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} answers are not to the same prompts")
    only_a = sum(x and not y for x, y in zip(a, b, strict=True))
    only_b = sum(y and not x for x, y in zip(a, b, strict=True))
    return float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue)  # pyright: ignore # no stubs


def coherent_by_prompt(row: Row) -> list[bool]:
    """Of a record's answers, in the order of their ids."""
    by_id = {answer["id"]: answer["quality"] == "coherent" for answer in row["answers"]}
    return [by_id[name] for name in sorted(by_id)]


def agreement(verdicts: pd.DataFrame, answers: Mapping[tuple[Any, ...], Row]) -> pd.DataFrame:
    """Do the methods agree on a model? Each pair at its best depth and dose, on test prompts.

    `answers` holds the test records by (model, source, depth, dose). A significant McNemar test
    together with different verdicts is flagged: the plan calls it a finding of its own. p is not
    corrected for the number of models.
    """
    rows = []
    best = select(verdicts, choice="best depth on validation") if len(verdicts) else verdicts
    for model in dict.fromkeys(best["model"].tolist() if len(best) else ()):
        for a, b in combinations(records(select(best, model=model)), 2):
            rows.append({"model": model, **_pair(a, b, answers)})
    return pd.DataFrame(rows)


def _pair(a: Row, b: Row, answers: Mapping[tuple[Any, ...], Row]) -> dict[str, Any]:
    said = [answers[r["model"], r["method"], r["depth"], r["dose"]] for r in (a, b)]
    p = mcnemar_p(*(coherent_by_prompt(row) for row in said))
    differ = verdict(a["coherent"], a["garbled"]) != verdict(b["coherent"], b["garbled"])
    return {
        "first": a["method"],
        "second": b["method"],
        "coherent_first": a["coherent"],
        "coherent_second": b["coherent"],
        "difference": a["coherent"] - b["coherent"],
        "mcnemar_p": p,
        "disagree": bool(differ and p < ALPHA),
    }

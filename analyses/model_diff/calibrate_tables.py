"""A judge's ratings beside the rule's, and how well they agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analyses.model_diff.calibrate_plan import CalibratePlan
from tl_geometry.judges.calibration import Calibration, calibration, table
from tl_geometry.judges.number_scores import Rating, missing
from tl_geometry.judges.pocket_rule import PocketRule

RATINGS = ("trait", "coherence")
REFERENCE = "grammar rule without likelihood"
"""The likelihood that gates steering is the instruct model's of its own answers; half of what is
rated here the base model said, as plain text."""


@dataclass(frozen=True)
class Answer:
    """A stored response, and what it responds to."""

    key: str
    source: str
    side: str
    group: str
    """What it is about: answers about one thing are no independent units."""
    question: str
    text: str


def calibrate_tables(
    plan: CalibratePlan, answers: Sequence[Answer], rows: Sequence[Mapping[str, Any]]
) -> dict[str, pd.DataFrame]:
    """ValueError where a trait has no rule."""
    rule = PocketRule()
    questions, texts = [a.question for a in answers], [a.text for a in answers]
    reference = {
        "trait": rule.trait(plan.config.trait, "", questions, texts),
        "coherence": rule.coherence(questions, texts),
    }
    judged = {what: [_rating(row, what) for row in rows] for what in RATINGS}
    found: dict[str, Calibration] = {}
    for source in dict.fromkeys(answer.source for answer in answers):
        mine = [k for k, answer in enumerate(answers) if answer.source == source]
        for what in RATINGS:
            found[f"{what} {source}"] = calibration(
                [judged[what][k] for k in mine],
                [reference[what][k] for k in mine],
                questions=[answers[k].group for k in mine],
                rng=np.random.default_rng(plan.config.seed),
                n_resamples=plan.config.resamples,
            )
    gone = [("rating", answers[k].key, row["reason"]) for k, row in enumerate(rows)
            if row["status"] != "ok"]  # fmt: skip
    return {
        "calibration": table(found).rename(columns={"judge": "rating"}).assign(reference=REFERENCE),
        "ratings": pd.DataFrame(
            [_listed(answer, k, judged, reference) for k, answer in enumerate(answers)]
        ),
        "missing": pd.DataFrame(gone, columns=np.array(["what", "id", "reason"])),
    }


def _rating(row: Mapping[str, Any], what: str) -> Rating:
    """A row that failed as a whole has no ratings, and one reason for both."""
    return Rating(**row[what]) if what in row else missing(row["reason"])


def _listed(
    answer: Answer,
    k: int,
    judged: Mapping[str, Sequence[Rating]],
    reference: Mapping[str, Sequence[Rating]],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source": answer.source, "side": answer.side, "group": answer.group,
        "question": answer.question, "answer": answer.text,
    }  # fmt: skip
    for what in RATINGS:
        one = judged[what][k]
        row |= {what: one.value, f"{what}_rule": reference[what][k].value}
        row |= {f"{what}_coverage": one.coverage, f"{what}_reason": one.reason}
    return row

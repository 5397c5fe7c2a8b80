"""What the words alone tell: the same measures of the texts as bags of words, without a model."""

from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from analyses.alignment_quality.cells import separations
from analyses.alignment_quality.draws import Draws, Row, Space
from analyses.alignment_quality.plan import Plan
from analyses.work import without_nan, work_off
from tl_geometry.runs import Run

WORDS = "bag of words"


def bag_of_words(draws: Draws) -> Space:
    """TF-IDF of single words, rows of length 1."""
    weights: Any = TfidfVectorizer().fit_transform([item.text for item in draws.items])
    return np.asarray(weights.todense(), dtype=float)


def by_words(record: Run, plan: Plan, draws: Draws) -> dict[str, list[Row]]:
    """As `measured` of a model: one space."""

    def measure(batch: Any) -> list[Row]:
        cells = without_nan(separations(bag_of_words(draws), draws))
        return [{"status": "ok", "reason": "", "cells": cells, "pool": plan.config.pool[0]}]

    items = {"separation|words": None}
    rows = work_off(record, record.log(WORDS), WORDS, items, 1, measure, unit="space", title=WORDS)
    if rows[0]["status"] != "ok":
        raise RuntimeError(f"bags of words: {rows[0]['reason']}")
    return {"separation": rows}

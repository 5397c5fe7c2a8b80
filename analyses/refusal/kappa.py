"""How far a person and the judge give the same answer the same label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tl_geometry.bootstrap import Interval, bca, missing_interval
from tl_geometry.resampling import Statistic, left_out, level_codes, shared_weights
from tl_geometry.statistics import wilson

LABELS = ("coherent", "garbled", "normal")
RESAMPLES = 10_000
ONE_LABEL = "person and judge gave every answer one and the same label, so they could not disagree"


def agreement(judge: Sequence[str], human: Sequence[str], prompts: Sequence[str]) -> dict[str, Any]:
    """Share of equal labels with Wilson's interval, and Cohen's kappa with its bootstrap interval.

    Prompts are resampled, with all the answers to each.
    """
    same = sum(a == b for a, b in zip(judge, human, strict=True))
    share, chance = wilson(same, len(judge)), kappa(judge, human, prompts)
    return {
        "n": len(judge),
        "agree": share.estimate,
        "agree_low": share.low,
        "agree_high": share.high,
        "kappa": chance.estimate,
        "kappa_low": chance.low,
        "kappa_high": chance.high,
        "reason": chance.reason,
    }


def kappa(judge: Sequence[str], human: Sequence[str], prompts: Sequence[str]) -> Interval:
    """Cohen's kappa: 0 is what chance would give, 1 is always the same label."""
    codes, n = level_codes(prompts)
    if len({*judge, *human}) == 1:
        return missing_interval(ONE_LABEL, n=n, method="BCa")
    statistic = _kappa(_codes(judge), _codes(human))
    weights = shared_weights(n, RESAMPLES, 0)[:, codes]
    return bca(statistic, weights, n, jackknife=[left_out(prompts)]).interval()


def _codes(labels: Sequence[str]) -> Int[np.ndarray, " n"]:
    return np.array([LABELS.index(label) for label in labels])


def _kappa(judge: Int[np.ndarray, " n"], human: Int[np.ndarray, " n"]) -> Statistic:
    """Of weighted answers; undefined where both give one label."""
    k = len(LABELS)
    cells = np.eye(k * k)[k * judge + human]

    def statistic(weights: Float[np.ndarray, "resample n"]) -> Float[np.ndarray, " resample"]:
        table = (weights @ cells).reshape(-1, k, k)
        total = table.sum((1, 2))
        # Times n², in whole numbers: where chance explains all, the denominator is 0 exactly.
        same = total * np.trace(table, axis1=1, axis2=2)
        chance = (table.sum(1) * table.sum(2)).sum(1)
        return (same - chance) / (total**2 - chance)

    return statistic

"""Ratings of test questions, and the intervals of their differences."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, floor, hypot
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from analyses.model_diff.steer_plan import SteerPlan
from analyses.model_diff.steer_search import Condition
from analyses.model_diff.vectors import RANDOM
from tl_geometry.bootstrap import BootstrapResult, bca
from tl_geometry.resampling import left_out, level_codes, mean_of, shared_weights
from tl_geometry.statistics import sign_flip_p, wilson

Values = Float[np.ndarray, " question"]
Row = dict[str, Any]
TOP = 100.0
"""Ratings go from 0 to this."""
NEWCOMBE = "Newcombe over subjects"


@dataclass(frozen=True, eq=False)
class Tested:
    """Ratings of test questions under the conditions that were chosen on validation ones."""

    plan: SteerPlan
    rows: Mapping[Condition, Mapping[str, Any]]

    @cached_property
    def subjects(self) -> list[str]:
        """What each question is about: the unit, of which there are fewer than questions."""
        return [self.plan.traits.subjects.get(q, q) for q in self.plan.test]

    def values(self, condition: Condition, what: str) -> Values:
        return np.array([rating["value"] for rating in self.rows[condition][what]], float)

    def over(self, one: Condition, other: Condition, what: str = "trait") -> Row:
        return self.difference(self.values(one, what), self.values(other, what))

    def over_random(self, condition: Condition) -> Row:
        """Over the mean of several random vectors at the same layer and dose."""
        drawn = [self.values(c, "trait") for c in self._beside(condition)]
        return self.difference(self.values(condition, "trait"), np.mean(drawn, axis=0))

    def coherent(self, condition: Condition, threshold: float) -> Values:
        """The trait of each answer that is itself as coherent, else 0."""
        sound = self.values(condition, "coherence") >= threshold
        return np.where(sound, self.values(condition, "trait"), 0.0)

    def coherent_over_random(self, condition: Condition, threshold: float) -> Row:
        """As `over_random`, by the answers that are themselves coherent, of random vectors too."""
        drawn = [self.coherent(c, threshold) for c in self._beside(condition)]
        return self.difference(self.coherent(condition, threshold), np.mean(drawn, axis=0))

    def coherence(self, *conditions: Condition) -> float:
        """Mean over questions, and over conditions where several are compared with."""
        return float(np.mean([self.values(c, "coherence") for c in conditions]))

    def random_coherence(self, condition: Condition) -> float:
        """Of the random vectors that `over_random` compares with."""
        return self.coherence(*self._beside(condition))

    def _beside(self, condition: Condition) -> list[Condition]:
        return beside(condition, self.plan.config.randoms)

    def difference(self, one: Values, other: Values) -> Row:
        """Mean of one − other, paired over questions, resampled over subjects; p by sign flips of
        the subjects' means, 1 where none differs.

        BCa at 95 %, and at 90 % (`low90`, `high90`) for tests of equivalence. Where no resample
        differs there is nothing to resample: then `newcombe`, so that the row has an interval.
        """
        gaps = one - other
        boot = self.resampled(gaps)
        ends = boot.interval()
        row: Row = {"estimate": ends.estimate, "n": len(gaps), "subjects": ends.n}
        if ends.status == "ok":
            narrow = boot.interval(0.90)
            lows = {"low": ends.low, "high": ends.high, "low90": narrow.low, "high90": narrow.high}
        else:
            wide, narrow = (newcombe(one, other, ends.n, level) for level in (0.95, 0.90))
            lows = {"low": wide[0], "high": wide[1], "low90": narrow[0], "high90": narrow[1]}
        method = ends.method if ends.status == "ok" else NEWCOMBE
        p, differing = self._flipped(gaps), int((self._by_subject(gaps) != 0).sum())
        return {
            **row,
            "differing": differing,
            **lows,
            "p": p,
            "method": method,
            "status": "ok",
            "reason": "",
        }

    def resampled(self, values: Values) -> BootstrapResult:
        codes, n = level_codes(self.subjects)
        config = self.plan.config
        drawn = shared_weights(n, config.resamples, config.seed)
        return bca(mean_of(values), drawn[:, codes], n, jackknife=[left_out(self.subjects)])

    def flipped_p(self, one: Condition, other: Condition) -> float:
        """Sign-flip p of the subjects' mean differences; 1 where there is none."""
        return self._flipped(self.values(one, "trait") - self.values(other, "trait"))

    def _by_subject(self, gaps: Values) -> Float[np.ndarray, " subject"]:
        return subject_means(gaps, *level_codes(self.subjects))

    def _flipped(self, gaps: Values) -> float:
        means = self._by_subject(gaps)
        if not means.any():
            return 1.0
        return float(sign_flip_p(means, np.random.default_rng(self.plan.config.seed)))


def beside(condition: Condition, draws: int) -> list[Condition]:
    """Random vectors of the same source and position, at the same place and dose: the one that was
    searched, and further draws."""
    source = condition.place.set.rpartition(" ")[0]
    names = [f"{source} {RANDOM}{k if k > 1 else ''}" for k in range(1, draws + 1)]
    return [Condition(replace(condition.place, set=name), condition.dose) for name in names]


def newcombe(one: Values, other: Values, n: int, level: float = 0.95) -> tuple[float, float]:
    """Ends of the difference of two means of ratings from 0 to 100, with n units behind each.

    Newcombe's (1998) method 10, from Wilson intervals. No rating between 0 and 100 has more
    spread than one that is 0 or 100 with the same mean, and pairing is ignored: on the wide side.
    """
    a, b = (_score(side.mean() / TOP, n, level) for side in (one, other))
    (low_a, mean_a, high_a), (low_b, mean_b, high_b) = a, b
    gap = mean_a - mean_b
    below, above = hypot(mean_a - low_a, high_b - mean_b), hypot(high_a - mean_a, mean_b - low_b)
    return TOP * (gap - below), TOP * (gap + above)


def _score(mean: float, n: int, level: float) -> tuple[float, float, float]:
    """Wilson's ends of a rate; between two whole counts the outer ends of both."""
    low, high = floor(mean * n + 1e-9), ceil(mean * n - 1e-9)
    return wilson(low, n, level=level).low, mean, wilson(high, n, level=level).high


def subject_means(
    values: Values, codes: Int[np.ndarray, " question"], n: int
) -> Float[np.ndarray, " subject"]:
    return np.array([values[codes == k].mean() for k in range(n)])

"""A score from 0 to 100 as the expected value of the number that a judge is about to say.

    value = sum n p(n) / sum p(n),   coverage = sum p(n),   n = 0 … 100

The mean of the whole distribution is finer than its most likely number, and needs no sampling. With
too little coverage the judge was about to say something else, and what numbers it might have said
is no score: the value is missing, with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

LEAST_COVERAGE = 0.25
AGGREGATOR = "expected value of 0 to 100 where coverage >= 0.25; version 1"
"""In every judge's fingerprint: change it with the rule, and no old score passes for a new one."""


@dataclass(frozen=True)
class Rating:
    """A judge's number for one answer, or None with the reason."""

    value: float | None
    """0 to 100."""
    coverage: float
    """Probability that the judge says a number at all; 1 for rules, 0 where a call failed."""
    sd: float | None
    """Spread of the number under the judge's own distribution, in points; 0 for rules."""
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError("a rating has either a value or a reason why it is missing")
        if self.value is not None and not 0 <= self.value <= 100:
            raise ValueError(f"a rating lies between 0 and 100, got {self.value}")


def missing(reason: str, coverage: float = 0.0) -> Rating:
    """What stands for an answer that could not be rated."""
    return Rating(None, coverage, None, reason)


def expected(numbers: Mapping[int, float], least: float = LEAST_COVERAGE) -> Rating:
    """The rating of a distribution: number → probability; what is left out has probability 0.

    Missing below the `least` coverage. ValueError for a number outside 0 to 100, or for what is
    no probability; a sum above 1 by rounding is 1.
    """
    odd = [n for n, p in numbers.items() if not (0 <= n <= 100 and isfinite(p) and p >= 0)]
    total = sum(numbers.values())
    if odd or total > 1.001:
        raise ValueError(f"no distribution over 0 to 100: numbers {odd}, sum {total:.4g}")
    coverage = min(total, 1.0)
    if coverage < least or not total:
        return missing(f"only {coverage:.2f} of the probability is on numbers", coverage)
    mean = sum(n * p for n, p in numbers.items()) / total
    spread = sum((n - mean) ** 2 * p for n, p in numbers.items()) / total
    # Sums of rounded products may pass the ends by one part in 10^16.
    return Rating(min(max(mean, 0.0), 100.0), coverage, sqrt(spread))


@dataclass(frozen=True)
class MeanRating:
    """A mean over answers, or None with the reason; and how many answers stand behind it."""

    value: float | None
    n: int
    """Answers with a rating."""
    n_missing: int
    reason: str = ""


def mean_of(ratings: Sequence[Rating], *, allow_missing: bool = False) -> MeanRating:
    """The mean of the values; missing as soon as one rating is, unless `allow_missing`.

    Answers that a judge cannot rate are rarely like the others, so a mean over the rest is another
    number: whoever wants it has to say so, and gets the count beside it.
    """
    values = [rating.value for rating in ratings if rating.value is not None]
    n_missing = len(ratings) - len(values)
    if values and (allow_missing or not n_missing):
        return MeanRating(sum(values) / len(values), len(values), n_missing)
    first = next((rating.reason for rating in ratings if rating.reason), "")
    reason = f"{n_missing} of {len(ratings)} ratings are missing: {first}" if first else "no rating"
    return MeanRating(None, len(values), n_missing, reason)

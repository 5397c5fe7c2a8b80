"""The plan's hypotheses about single vectors, on test questions.

H1: natural vectors bring the trait out in the instruct model, but less than instruction vectors.
H2: the position at which a vector was read matters.
"No difference" is said only where the 90 % interval lies within the stated margin (TOST).
"""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from analyses.model_diff.steer_search import Condition, Scores
from analyses.model_diff.steer_tested import Row, Tested
from analyses.model_diff.vectors import RANDOM
from figures.rows import absent
from tl_geometry.statistics import benjamini_hochberg

Chosen = Mapping[str, Condition]
"""Set of vectors → what was chosen for it."""
SOURCES = ("natural", "instruction")


def verdict(row: Row, margin: float, p: float | None = None) -> str:
    """`higher`, `lower`, `equivalent` or `undecided`; by p where it is adjusted for a family, else
    by the 95 % interval. A difference that is clear and within the margin is `equivalent`."""
    if absent(row["low90"]):
        return "undecided"
    if -margin < row["low90"] and row["high90"] < margin:
        return "equivalent"
    clear = row["low"] > 0 or row["high"] < 0
    if clear and (p is None or p < 0.05):
        return "higher" if row["estimate"] > 0 else "lower"
    return "undecided"


def positions(chosen: Chosen, tested: Tested) -> pd.DataFrame:
    """H2: every two positions of one source and method, each at its own best; p adjusted over all
    of them."""
    rows = []
    for a, b in combinations(chosen, 2):
        (source, _, method), (other_source, _, other_method) = a.split(" "), b.split(" ")
        if (source, method) != (other_source, other_method):
            continue
        one, other = chosen[a], chosen[b]
        p = tested.flipped_p(one, other)
        rows.append({"a": a, "b": b, **tested.over(one, other), "p": p})
    if not rows:
        return pd.DataFrame()
    adjusted = benjamini_hochberg(np.array([row["p"] for row in rows], float))
    margin = tested.plan.config.margin
    return pd.DataFrame(
        [
            {**row, "p_adjusted": p, "margin": margin, "verdict": verdict(row, margin, p)}
            for row, p in zip(rows, adjusted.tolist(), strict=True)
        ]
    )


def natural_vectors(chosen: Chosen, scores: Scores, tested: Tested) -> pd.DataFrame:
    """H1, in two comparisons of the sets that validation questions put first in each source."""
    return pd.DataFrame(list(_first(chosen, scores, tested)))


def best_of(source: str, chosen: Chosen, scores: Scores) -> str | None:
    """The set of a source with the highest trait on validation questions; of equals the first."""
    mine = [name for name in chosen if name.partition(" ")[0] == source]
    return max(mine, key=lambda name: scores[chosen[name]].trait, default=None)


def _first(chosen: Chosen, scores: Scores, tested: Tested) -> Iterator[Row]:
    natural, instruction = (best_of(source, chosen, scores) for source in SOURCES)
    margin = tested.plan.config.margin
    for quantity, a, b in (
        ("natural over random", natural, RANDOM),
        ("natural over instruction", natural, instruction),
    ):
        about = {"hypothesis": "H1", "quantity": quantity, "a": a, "b": b, "margin": margin}
        if a is None or b is None:
            source = "natural" if a is None else "instruction"
            why = f"no {source} vector was coherent enough at any dose"
            yield {**about, **_nothing(why), "verdict": "undecided"}
            continue
        mine = chosen[a]
        row = tested.over_random(mine) if b == RANDOM else tested.over(mine, chosen[b])
        yield {**about, **row, "verdict": verdict(row, margin)}


def _nothing(why: str) -> Row:
    ends = dict.fromkeys(("estimate", "low", "high", "low90", "high90"), float("nan"))
    return {**ends, "n": 0, "subjects": 0, "method": "", "status": "missing", "reason": why}

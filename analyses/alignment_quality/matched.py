"""Does the separation remain where safe and unsafe inputs are alike in length, or in source?"""

from collections import Counter

import numpy as np
from jaxtyping import Float, Int

from analyses.alignment_quality.cells import MEAN, separations, stated
from analyses.alignment_quality.draws import Draws, Row, Space
from tl_geometry.bootstrap import missing_interval
from tl_geometry.probes import length_matched

CALIPER = 1.0
"""Tokens that a safe and an unsafe input of a pair may differ by."""
FEWEST = 6
"""Pairs that every axiom needs."""


def matched(space: Space, draws: Draws, lengths: Float[np.ndarray, " item"]) -> dict[str, Row]:
    """Subset → mean over axioms there, and why there is none."""
    return {
        "equal length": _of(space, draws, _by_length(draws, lengths), "pairs of equal length"),
        "equal source": _of(space, draws, _by_source(draws), "pairs of one source"),
    }


def _by_length(
    draws: Draws, lengths: Float[np.ndarray, " item"]
) -> list[Int[np.ndarray, "_pair 2"]]:
    found = []
    for rows in draws.by_axiom.values():
        pairs = length_matched(lengths[rows], draws.labels[rows], CALIPER)
        found.append(rows[pairs])
    return found


def _by_source(draws: Draws) -> list[Int[np.ndarray, "_pair 2"]]:
    """As many safe as unsafe inputs of every source that has both."""
    found = []
    for rows in draws.by_axiom.values():
        pairs = []
        for source in sorted({draws.items[i].source for i in rows} - {""}):
            mine = [i for i in rows if draws.items[i].source == source]
            safe, unsafe = ([i for i in mine if draws.labels[i] == side] for side in (True, False))
            pairs += list(zip(safe, unsafe, strict=False))
        found.append(np.array(pairs, dtype=int).reshape(-1, 2))
    return found


def _of(space: Space, draws: Draws, pairs: list[np.ndarray], what: str) -> Row:
    """As many pairs of every axiom, so that axioms stay of one size."""
    fewest = min(map(len, pairs))
    if fewest < FEWEST:
        reason = f"some axiom has {fewest} {what}, {FEWEST} are needed"
        absent = missing_interval(reason, n=0, method="BCa")
        return {"n": 0, **stated("eta", absent), **stated("auc", absent), "reason": reason}
    rows = np.sort(np.concatenate([some[:fewest].ravel() for some in pairs]))
    items = [draws.items[i] for i in rows]
    if Counter(item.safe for item in items)[True] * 2 != len(items):
        raise ValueError("a pair holds a safe and an unsafe input")
    part = Draws.of(items, draws.seed, draws.resamples)
    return separations(space[rows], part)[MEAN]

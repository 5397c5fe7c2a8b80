"""The plan's hypotheses about single vectors, on test questions.

H1: natural vectors bring the trait out in the instruct model, but less than instruction vectors.
H2: the position at which a vector was read matters.
Of answers that fell apart on test questions, and of a vector that was not chosen for what it does,
nothing is said. "No difference" is said only where the 90 % interval lies within the stated margin
(TOST).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from analyses.model_diff.steer_search import Condition, Place, Positions, Scores, best
from analyses.model_diff.steer_tested import Row, Tested
from analyses.model_diff.steer_vectors import is_control
from analyses.model_diff.steering import UNSTEERED
from analyses.model_diff.vectors import RANDOM
from figures.rows import absent
from tl_geometry.statistics import benjamini_hochberg

Chosen = Mapping[str, Condition]
"""Set of vectors → what was chosen for it."""
SOURCES = ("natural", "instruction")
KINDS: tuple[Positions, ...] = ("all", "prompt", "generated")
"""The plan's first: it steers all tokens."""
OVER_RANDOM = "natural over random"
OVER_BEST_RANDOM = "natural over best searched random"
OVER_INSTRUCTION = "natural over instruction"
COMPARED = {OVER_RANDOM: RANDOM, OVER_BEST_RANDOM: RANDOM, OVER_INSTRUCTION: "instruction"}
NONE_WORKS = "none works"
NEITHER = "neither"


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


def positions(chosen: Chosen, scores: Scores, tested: Tested) -> pd.DataFrame:
    """H2: every two positions of one source and method, each represented by one vector at its own
    best place; p adjusted over all of them."""
    rows, baseline = list[Row](), scores[UNSTEERED].trait
    for a, b in combinations(chosen, 2):
        (source, _, method), (other_source, _, other_method) = a.split(" "), b.split(" ")
        if (source, method) != (other_source, other_method):
            continue
        one, other = chosen[a], chosen[b]
        idle = {"a": scores[one].trait <= baseline, "b": scores[other].trait <= baseline}
        sound = {"coherence_a": tested.coherence(one), "coherence_b": tested.coherence(other)}
        rows.append({"a": a, "b": b, **sound, **_by_tie(idle), **tested.over(one, other)})
    if not rows:
        return pd.DataFrame()
    adjusted = benjamini_hochberg(np.array([row["p"] for row in rows], float))
    config = tested.plan.config
    return pd.DataFrame(
        [
            {**row, "p_adjusted": p, "margin": config.margin,
             **gated({**row, "p_adjusted": p}, config.coherence, verdict(row, config.margin, p))}
            for row, p in zip(rows, adjusted.tolist(), strict=True)
        ]
    )  # fmt: skip


def gated(row: Row, coherence: float, said: str) -> Row:
    """The verdict with its reason: none on a vector that validation questions did not choose for
    what it does, or on answers that fell apart on test questions."""
    if row["picked_by_tie"] != NEITHER:
        return {"verdict": NONE_WORKS, "reason": ""}
    ends = {side: row[f"coherence_{side}"] for side in ("a", "b")}
    if fallen := [f"{row[side]} at {end:.1f}" for side, end in ends.items() if end < coherence]:
        return {"verdict": "undecided", "reason": f"incoherent on test: {', '.join(fallen)}"}
    return {"verdict": said, "reason": too_few(row) if said == "undecided" else ""}


def too_few(row: Row) -> str:
    """Why a clear interval decides nothing: flipping the signs of few differences gives no small p,
    and a subject that does not differ adds none."""
    if not (row["low"] > 0 or row["high"] < 0):
        return ""
    least = least_p(row["differing"])
    if least >= 0.05:
        return f"{row['differing']} of {row['subjects']} subjects differ: no p below {least:.2g}"
    adjusted = "p_adjusted" in row
    return f"{'adjusted ' if adjusted else ''}p {row['p_adjusted' if adjusted else 'p']:.2g}"


def least_p(differing: int) -> float:
    """Of flipping the signs of so many differences that are not 0, on both sides."""
    return min(1.0, 2.0 ** (1 - differing))


def natural_vectors(places: Sequence[Place], scores: Scores, tested: Tested) -> pd.DataFrame:
    """H1 for each kind of tokens, in three comparisons of what validation questions put first."""
    picked = firsts(places, scores, tested.plan.config.coherence)
    return pd.DataFrame(
        [row for kind, of in picked.items() for row in _first(kind, of, places, scores, tested)]
    )


def firsts(
    places: Sequence[Place], scores: Scores, threshold: float
) -> dict[Positions, dict[str, Condition | None]]:
    """Kind of tokens, all of them first → what validation questions put first: of natural and of
    instruction vectors, and of random ones that were drawn for natural positions (`RANDOM`)."""
    kinds: list[Positions] = [kind for kind in KINDS if any(p.steered == kind for p in places)]
    return {
        kind: {name: best(_of(name, kind, places), scores, threshold)
               for name in (*SOURCES, RANDOM)}
        for kind in kinds
    }  # fmt: skip


def _of(name: str, kind: Positions, places: Sequence[Place]) -> list[Place]:
    mine = [p for p in places if p.steered == kind]
    if name == RANDOM:
        return [p for p in mine if p.set.startswith("natural ") and p.set.endswith(f" {RANDOM}")]
    return [p for p in mine if p.set.startswith(f"{name} ") and not is_control(p.set)]


def _first(
    kind: Positions,
    picked: Mapping[str, Condition | None],
    places: Sequence[Place],
    scores: Scores,
    tested: Tested,
) -> Iterator[Row]:
    config, baseline = tested.plan.config, scores[UNSTEERED].trait
    mine = picked["natural"]
    for quantity, name in COMPARED.items():
        other = mine if quantity == OVER_RANDOM else picked[name]
        about = {
            "hypothesis": "H1",
            "tokens": kind,
            "quantity": quantity,
            "sets_a": len({p.set for p in _of("natural", kind, places)}),
            "sets_b": len({p.set for p in _of(name, kind, places)}),
            "margin": config.margin,
        }
        if mine is None or other is None:
            gone = "natural" if mine is None else name
            some = _of(gone, kind, places)
            why = f"no {gone} vector was {'coherent enough at any dose' if some else 'searched'}"
            yield {**about, **_nothing(why), "verdict": "undecided"}
            continue
        at_same_place = quantity == OVER_RANDOM
        row = tested.over_random(mine) if at_same_place else tested.over(mine, other)
        sound = tested.random_coherence(mine) if at_same_place else tested.coherence(other)
        # Random vectors that do nothing are what random vectors are compared with for.
        idle = {"a": scores[mine].trait <= baseline,
                "b": name != RANDOM and scores[other].trait <= baseline}  # fmt: skip
        row = {
            **about,
            "a": mine.place.set,
            "b": "random vectors there" if at_same_place else other.place.set,
            **row,
            "coherence_a": tested.coherence(mine),
            "coherence_b": sound,
            **_by_tie(idle),
        }
        yield {**row, **gated(row, config.coherence, verdict(row, config.margin, row["p"]))}


def _by_tie(idle: Mapping[str, bool]) -> Row:
    """Of which sides the pick does no more than the unsteered model on validation questions."""
    sides = [side for side, is_idle in idle.items() if is_idle]
    return {"picked_by_tie": "both" if len(sides) == 2 else (*sides, NEITHER)[0]}


def _nothing(why: str) -> Row:
    names = ("estimate", "low", "high", "low90", "high90", "p", "coherence_a", "coherence_b")
    gone = {"n": 0, "subjects": 0, "differing": 0, "method": "", "status": "missing", "reason": why}
    return {"a": "", "b": "", **dict.fromkeys(names, float("nan")), **gone, **_by_tie({})}

"""What was searched, what was chosen, and what it does on questions that nothing was chosen on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyses.model_diff.steer_hypotheses import firsts, natural_vectors, positions
from analyses.model_diff.steer_search import (
    Condition,
    Place,
    Scores,
    best,
    first_incoherent,
    front,
)
from analyses.model_diff.steer_tested import Row, Tested, beside
from analyses.model_diff.steer_vectors import is_control
from analyses.model_diff.steering import NONE, UNSTEERED, Steering
from analyses.model_diff.vectors import RANDOM, SHUFFLED
from tl_geometry.statistics import benjamini_hochberg

THRESHOLDS = (70.0, 80.0)
EDGE = 80.0
"""`incoherent_from` is the first dose of the chosen place below it."""
Chosen = Mapping[tuple[str, float], Condition]
"""(set, threshold) → the condition that validation questions chose."""


def sets_of(steering: Steering) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = {}
    for place in steering.places:
        found.setdefault(place.set, []).append(place)
    return found


def chosen_of(steering: Steering, scores: Scores) -> dict[tuple[str, float], Condition]:
    """(set, threshold) → the best condition by validation questions; controls get the same
    search."""
    found = {}
    for name, places in sets_of(steering).items():
        for threshold in sorted({steering.plan.config.coherence, *THRESHOLDS}):
            if (condition := best(places, scores, threshold)) is not None:
                found[name, threshold] = condition
    return found


def wanted(steering: Steering, scores: Scores, chosen: Chosen) -> Sequence[Condition]:
    """What has to be asked of test questions."""
    config = steering.plan.config
    first = firsts(steering.places, scores, config.coherence).values()
    picked = [*chosen.values(), *(c for of_kind in first for c in of_kind.values() if c)]
    random = [
        other
        for condition in picked
        if not is_control(condition.place.set)
        for other in beside(condition, config.randoms)
    ]
    return list(dict.fromkeys([UNSTEERED, *picked, *random]))


def steer_tables(
    steering: Steering,
    scores: Scores,
    chosen: Chosen,
    tested: Tested,
) -> dict[str, pd.DataFrame]:
    threshold = steering.plan.config.coherence
    missing = [
        (
            "control" if is_control(name) else "set",
            f"{name} at coherence {at:g}",
            "no dose that was tried is as coherent",
        )
        for name in sets_of(steering)
        for at in sorted({threshold, *THRESHOLDS})
        if (name, at) not in chosen
    ]
    mine = {name: c for (name, at), c in chosen.items() if at == threshold and not is_control(name)}
    return {
        "doses": pd.DataFrame(_searched(steering, scores)),
        "effects": pd.DataFrame(adjusted(list(_effects(steering, scores, chosen, tested)))),
        "positions": positions(mine, scores, tested),
        "natural_vectors": natural_vectors(steering.places, scores, tested),
        "steered_answers": pd.DataFrame(list(_answers(steering, chosen, tested))),
        "missing": pd.DataFrame(missing, columns=["what", "id", "reason"]),  # pyright: ignore[reportArgumentType] # stub
    }


def _searched(steering: Steering, scores: Scores) -> list[Row]:
    fronts = {c for places in sets_of(steering).values() for c in front(places, scores)}
    return [
        {"set": c.place.set, "layer": c.place.layer, "steered": c.place.steered,
         "dose": c.dose, "coefficient": steering.coefficient(c), "trait": s.trait,
         "coherence": s.coherence, "control": is_control(c.place.set), "front": c in fronts}
        for c, s in scores.items()
    ]  # fmt: skip


def _effects(
    steering: Steering, scores: Scores, chosen: Chosen, tested: Tested
) -> Iterator[dict[str, Any]]:
    """One row a set, threshold and comparison, on test questions."""
    for (name, threshold), condition in chosen.items():
        about = {
            "set": name,
            "control": is_control(name),
            "threshold": threshold,
            "layer": condition.place.layer,
            "steered": condition.place.steered,
            "dose": condition.dose,
            "coefficient": steering.coefficient(condition),
            "validation_trait": scores[condition].trait,
            "validation_coherence": scores[condition].coherence,
            "test_trait": float(tested.values(condition, "trait").mean()),
            "test_coherence": tested.coherence(condition),
            "test_coherent_trait": float(tested.coherent(condition, threshold).mean()),
            "incoherent_from": first_incoherent(condition.place, scores, EDGE),
        }
        for quantity, found in _compared(name, threshold, chosen, tested):
            yield {**about, "quantity": quantity, **found}


def adjusted(rows: Sequence[Row]) -> list[Row]:
    """With `p_adjusted` (Benjamini–Hochberg): over the sets that one comparison at one threshold is
    made of. Controls are no findings and get none."""
    families: dict[tuple[str, float], list[int]] = {}
    for k, row in enumerate(rows):
        if not row["control"]:
            families.setdefault((row["quantity"], row["threshold"]), []).append(k)
    found: list[Row] = [{**row, "p_adjusted": float("nan")} for row in rows]
    for family in families.values():
        values = benjamini_hochberg(np.array([rows[k]["p"] for k in family], float))
        for k, p in zip(family, values.tolist(), strict=True):
            found[k]["p_adjusted"] = p
    return found


def _compared(
    name: str, threshold: float, chosen: Chosen, tested: Tested
) -> Iterator[tuple[str, Row]]:
    condition = chosen[name, threshold]
    yield "change", tested.over(condition, UNSTEERED)
    if is_control(name):
        return
    yield "over_random", tested.over_random(condition)
    yield "coherent_over_random", tested.coherent_over_random(condition, threshold)
    source = name.rpartition(" ")[0]
    for control in (RANDOM, SHUFFLED):
        other = chosen.get((f"{source} {control}", threshold))
        if other is not None:
            yield f"over_best_{control}", tested.over(condition, other)


def _answers(steering: Steering, chosen: Chosen, tested: Tested) -> Iterator[Row]:
    threshold = steering.plan.config.coherence
    listed = [(NONE, UNSTEERED)]
    listed += [(name, c) for (name, at), c in chosen.items() if at == threshold]
    said = steering.answered([c for _, c in listed], "test")
    for (name, condition), row in zip(listed, said, strict=True):
        ratings = zip(
            steering.plan.test, row["answers"], tested.values(condition, "trait"),
            tested.values(condition, "coherence"), strict=True,
        )  # fmt: skip
        for question, answer, trait, sound in ratings:
            yield {
                "set": name,
                "layer": condition.place.layer,
                "steered": condition.place.steered,
                "dose": condition.dose,
                "question": question,
                "answer": answer["text"],
                "trait": trait,
                "coherence": sound,
            }

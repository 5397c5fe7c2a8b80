"""What was searched, what was chosen, and what it does on questions that nothing was chosen on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.model_diff.steer_plan import SteerPlan
from analyses.model_diff.steer_search import (
    Condition,
    Place,
    Scores,
    best,
    first_incoherent,
    front,
)
from analyses.model_diff.steering import NONE, UNSTEERED, Steering
from analyses.model_diff.vectors import RANDOM, SHUFFLED
from tl_geometry.bootstrap import bca
from tl_geometry.resampling import left_out, level_codes, mean_of, simple_weights
from tl_geometry.statistics import benjamini_hochberg

THRESHOLDS = (70.0, 80.0)
Values = Float[np.ndarray, " question"]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Tested:
    """Ratings of test questions under the conditions that were chosen on validation ones."""

    plan: SteerPlan
    rows: Mapping[Condition, Mapping[str, Any]]

    def values(self, condition: Condition, what: str) -> Values:
        return np.array([rating["value"] for rating in self.rows[condition][what]], float)

    def over(self, one: Condition, other: Condition, what: str = "trait") -> Row:
        """Paired over questions; resampled are subjects, of which there are fewer."""
        return self.interval(self.values(one, what) - self.values(other, what))

    def interval(self, values: Values) -> Row:
        subjects = [self.plan.traits.subjects.get(q, q) for q in self.plan.test]
        codes, n = level_codes(subjects)
        config = self.plan.config
        drawn = simple_weights(n, config.resamples, np.random.default_rng(config.seed))
        found = bca(mean_of(values), drawn[:, codes], n, jackknife=[left_out(subjects)]).interval()
        return {
            "estimate": found.estimate,
            "low": found.low,
            "high": found.high,
            "n": len(values),
            "subjects": n,
            "status": found.status,
            "reason": found.reason,
        }


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


def beside(condition: Condition) -> Condition:
    """The random vector of the same source and position, at the same layer and dose."""
    source = condition.place.set.rpartition(" ")[0]
    return Condition(Place(f"{source} {RANDOM}", condition.place.layer), condition.dose)


def is_control(name: str) -> bool:
    return name.rpartition(" ")[2] in (RANDOM, SHUFFLED)


def steer_tables(
    steering: Steering,
    scores: Scores,
    chosen: Mapping[tuple[str, float], Condition],
    tested: Tested,
) -> dict[str, pd.DataFrame]:
    effects = pd.DataFrame(list(_effects(steering, scores, chosen, tested)))
    missing = [
        ("set", f"{name} at coherence {threshold:g}", "no dose that was tried is as coherent")
        for name in sets_of(steering)
        for threshold in THRESHOLDS
        if (name, threshold) not in chosen and not is_control(name)
    ]
    return {
        "doses": pd.DataFrame(_searched(steering, scores)),
        "effects": effects,
        "positions": _positions(chosen, tested, steering.plan.config.coherence),
        "steered_answers": pd.DataFrame(_answers(steering, chosen, tested)),
        "missing": pd.DataFrame(missing, columns=np.array(["what", "id", "reason"])),
    }


def _searched(steering: Steering, scores: Scores) -> list[Row]:
    fronts = {c for places in sets_of(steering).values() for c in front(places, scores)}
    return [
        {"set": c.place.set, "layer": c.place.layer, "dose": c.dose, "trait": s.trait,
         "coherence": s.coherence, "control": is_control(c.place.set), "front": c in fronts}
        for c, s in scores.items()
    ]  # fmt: skip


def _effects(
    steering: Steering,
    scores: Scores,
    chosen: Mapping[tuple[str, float], Condition],
    tested: Tested,
) -> Iterator[Row]:
    """One row a set, threshold and comparison, on test questions."""
    by_set = sets_of(steering)
    for (name, threshold), condition in chosen.items():
        edges = [first_incoherent(place, scores, 80.0) for place in by_set[name]]
        about = {
            "set": name,
            "control": is_control(name),
            "threshold": threshold,
            "layer": condition.place.layer,
            "dose": condition.dose,
            "validation_trait": scores[condition].trait,
            "validation_coherence": scores[condition].coherence,
            "test_trait": float(tested.values(condition, "trait").mean()),
            "test_coherence": float(tested.values(condition, "coherence").mean()),
            "incoherent_from": min((e for e in edges if e is not None), default=None),
        }
        yield {**about, "quantity": "change", **tested.over(condition, UNSTEERED)}
        if is_control(name):
            continue
        yield {**about, "quantity": "over_random", **tested.over(condition, beside(condition))}
        source = name.rpartition(" ")[0]
        for control in (RANDOM, SHUFFLED):
            other = chosen.get((f"{source} {control}", threshold))
            if other is not None:
                yield {**about, "quantity": f"over_best_{control}", **tested.over(condition, other)}


def _positions(
    chosen: Mapping[tuple[str, float], Condition], tested: Tested, threshold: float
) -> pd.DataFrame:
    """Does the position matter? Every two positions of one source and method, each at its own
    best; p adjusted over all of them."""
    rows = []
    names = [name for name, at in chosen if at == threshold and not is_control(name)]
    for a, b in combinations(names, 2):
        (first, *place_a, method_a), (second, *place_b, method_b) = a.split(" "), b.split(" ")
        if first != second or method_a != method_b or place_a == place_b:
            continue
        one, other = chosen[a, threshold], chosen[b, threshold]
        found = tested.over(one, other)
        rows.append({"a": a, "b": b, **found, "p": _flipped(tested, one, other)})
    table = pd.DataFrame(rows)
    if not table.empty:
        table["p_adjusted"] = benjamini_hochberg(table["p"].to_numpy(float))
    return table


def _flipped(tested: Tested, one: Condition, other: Condition) -> float:
    """Sign-flip p of the subjects' mean differences."""
    from tl_geometry.statistics import sign_flip_p

    gaps = tested.values(one, "trait") - tested.values(other, "trait")
    subjects = [tested.plan.traits.subjects.get(q, q) for q in tested.plan.test]
    codes, n = level_codes(subjects)
    means = np.array([gaps[codes == k].mean() for k in range(n)])
    if not means.any():
        return 1.0
    return float(sign_flip_p(means, np.random.default_rng(tested.plan.config.seed)))


def _answers(
    steering: Steering, chosen: Mapping[tuple[str, float], Condition], tested: Tested
) -> list[Row]:
    threshold = steering.plan.config.coherence
    listed = [(NONE, UNSTEERED)]
    listed += [(name, c) for (name, at), c in chosen.items() if at == threshold]
    said = steering.answered([c for _, c in listed], "test")
    found = []
    for (name, condition), row in zip(listed, said, strict=True):
        ratings = zip(
            steering.plan.test, row["answers"], tested.values(condition, "trait"),
            tested.values(condition, "coherence"), strict=True,
        )  # fmt: skip
        for question, answer, trait, sound in ratings:
            found.append(
                {"set": name, "layer": condition.place.layer, "dose": condition.dose,
                 "question": question, "answer": answer["text"], "trait": trait,
                 "coherence": sound}
            )  # fmt: skip
    return found


def wanted(chosen: Mapping[tuple[str, float], Condition]) -> Sequence[Condition]:
    """What has to be asked of test questions."""
    mine = list(chosen.values())
    random = [beside(c) for (name, _), c in chosen.items() if not is_control(name)]
    return list(dict.fromkeys([UNSTEERED, *mine, *random]))

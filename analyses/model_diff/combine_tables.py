"""What combinations do beside the best single vector, on questions that nothing was chosen on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analyses.model_diff.combining import STRATEGIES, Combining, is_ensemble
from analyses.model_diff.steer_config import Steer
from analyses.model_diff.steer_hypotheses import too_few, verdict
from analyses.model_diff.steer_search import Condition, Scores, best
from analyses.model_diff.steer_tested import Row, Tested, beside
from analyses.model_diff.steering import UNSTEERED
from tl_geometry.statistics import benjamini_hochberg

SINGLE = "Best single ({})"


@dataclass(eq=False)
class Compared:
    """What was chosen on validation questions, and asked of test questions."""

    combining: Combining
    scores: Scores

    @cached_property
    def chosen(self) -> dict[str, Condition]:
        """Configuration → its condition; a strategy without a coherent dose is left out."""
        combining = self.combining
        found = {SINGLE.format(s): single.condition for s, single in combining.singles.items()}
        for strategy in STRATEGIES:
            place = combining.place_of(strategy)
            condition = best([place], self.scores, combining.plan.config.coherence)
            if condition is not None:
                found[strategy] = condition
        return found

    @property
    def best_single(self) -> str:
        return SINGLE.format(self.combining.better)

    @cached_property
    def tested(self) -> Tested:
        plan = self.combining.plan
        rated = self.combining.rated(self.asked, "test", "chosen")
        return Tested(plan, dict(zip(self.asked, rated, strict=True)))

    @property
    def asked(self) -> Sequence[Condition]:
        randoms = self.combining.plan.config.randoms
        beside_them = [b for c in self.chosen.values() for b in beside(c, randoms)]
        return list(dict.fromkeys([UNSTEERED, *self.chosen.values(), *beside_them]))


def combine_tables(compared: Compared) -> dict[str, pd.DataFrame]:
    missing = [
        ("strategy", name, "no dose that was tried is as coherent")
        for name in STRATEGIES
        if name not in compared.chosen
    ]
    return {
        "combinations": pd.DataFrame(list(_configurations(compared))),
        "strategies": _over_single(compared),
        "combined_doses": pd.DataFrame(list(_searched(compared))),
        "combined_answers": pd.DataFrame(list(_answers(compared))),
        "missing": missing_table(missing),
    }


def missing_table(rows: Sequence[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=np.array(["what", "id", "reason"]))


def _configurations(compared: Compared) -> Iterator[Row]:
    """One row a configuration and comparison: the plan's table."""
    tested, combining = compared.tested, compared.combining
    for name, condition in compared.chosen.items():
        about = {
            "configuration": name,
            "layers": _layers(combining, condition),
            "tokens": _tokens(combining, condition),
            "dose": condition.dose,
            "dose_of": "share of own best doses" if is_ensemble(condition) else "residual length",
            "test_trait": float(tested.values(condition, "trait").mean()),
            "test_coherence": float(tested.values(condition, "coherence").mean()),
            "note": _note(compared, name),
        }
        yield {**about, "quantity": "change", **tested.over(condition, UNSTEERED)}
        yield {**about, "quantity": "over_random", **tested.over_random(condition)}


def _layers(combining: Combining, condition: Condition) -> str:
    if not is_ensemble(condition):
        return str(condition.place.layer)
    return "+".join(str(combining.layer(source)) for source in combining.singles)


def _tokens(combining: Combining, condition: Condition) -> str:
    if not is_ensemble(condition):
        return condition.place.steered
    return "+".join(single.condition.place.steered for single in combining.singles.values())


def _note(compared: Compared, name: str) -> str:
    if name not in STRATEGIES:
        return f"{compared.chosen[name].place.set}; chosen by `steer`"
    place_of = compared.combining.place_of
    earlier = [other for other in STRATEGIES if other < name]
    alike = [other for other in earlier if place_of(other) == place_of(name)]
    same = f"; by construction {alike[0]}" if alike else ""
    scores = compared.scores
    idle = scores[compared.chosen[name]].trait <= scores[UNSTEERED].trait
    tie = "; no dose raised the trait on validation questions" if idle else ""
    return f"{STRATEGIES[name]}{same}{tie}"


def _over_single(compared: Compared) -> pd.DataFrame:
    """H3: every distinct strategy over the best single vector; p adjusted over them."""
    tested, config = compared.tested, compared.combining.plan.config
    margin = config.margin
    base, rows, seen = compared.chosen[compared.best_single], list[Row](), set[Condition]()
    for name in STRATEGIES:
        condition = compared.chosen.get(name)
        if condition is None or condition in seen:
            continue
        seen.add(condition)
        p = tested.flipped_p(condition, base)
        row = {"strategy": name, "over": compared.best_single, **tested.over(condition, base)}
        sound = {f"coherence_{k}": float(tested.values(c, "coherence").mean())
                 for k, c in (("strategy", condition), ("single", base))}  # fmt: skip
        rows.append({**row, **sound, "p": p})
    if not rows:
        return pd.DataFrame()
    adjusted = benjamini_hochberg(np.array([row["p"] for row in rows], float)).tolist()
    return pd.DataFrame(
        [
            {**row, "p_adjusted": p, "margin": margin, "verdict": _verdict(row, p, config)}
            for row, p in zip(rows, adjusted, strict=True)
        ]
    )


def _verdict(row: Row, p: float, config: Steer) -> str:
    """None between answers of which one side fell apart on test questions."""
    sides = ("coherence_strategy", "coherence_single")
    if fallen := [name for name in sides if row[name] < config.coherence]:
        return "undecided: incoherent on test (" + ", ".join(f[10:] for f in fallen) + ")"
    said, few = verdict(row, config.margin, p), too_few({**row, "p_adjusted": p})
    return f"undecided: {few}" if said == "undecided" and few else said


def _searched(compared: Compared) -> Iterator[Row]:
    for condition, score in compared.scores.items():
        yield {"set": condition.place.set, "layers": _layers(compared.combining, condition),
               "dose": condition.dose, "trait": score.trait,
               "coherence": score.coherence}  # fmt: skip


def _answers(compared: Compared) -> Iterator[Row]:
    """What was said to every test question, best single vectors and strategies side by side."""
    named = {"unsteered": UNSTEERED, **compared.chosen}
    distinct = list(dict.fromkeys(named.values()))
    said = dict(zip(distinct, compared.combining.answered(distinct, "test"), strict=True))
    for name, condition in named.items():
        traits, sound = (compared.tested.values(condition, w) for w in ("trait", "coherence"))
        rows = zip(
            compared.combining.plan.test, said[condition]["answers"], traits, sound, strict=True
        )
        for question, answer, trait, coherence in rows:
            yield {"configuration": name, "question": question, "answer": answer["text"],
                   "trait": trait, "coherence": coherence}  # fmt: skip

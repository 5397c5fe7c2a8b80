"""The plan's four ways to put two vectors together, as conditions of steering."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from analyses.model_diff.combine_plan import CombinePlan
from analyses.model_diff.steer_search import Condition, Place, Score
from analyses.model_diff.steer_vectors import Stack, further_random, unit_vectors
from analyses.model_diff.steering import UNSTEERED, Steering
from analyses.model_diff.vectors import RANDOM
from figures.rows import records, select
from tl_geometry.conditions import Condition as Steered

INSTRUCTION, NATURAL = "instruction", "natural"
SUM, ENSEMBLE = "both sum", "both ensemble"
OWN = "vector"
STRATEGIES: Mapping[str, str] = {
    "Strategy 1": "sum at the natural vector's best layer",
    "Strategy 2": "sum at the instruction vector's best layer",
    "Strategy 3": "sum at the layer of the better of the two",
    "Strategy 4": "ensemble, each at its own layer",
}


def is_ensemble(condition: Condition) -> bool:
    """Of the vectors themselves, or of random ones in their stead."""
    return condition.place.set.startswith(f"{ENSEMBLE} ")


@dataclass(frozen=True)
class Single:
    """The best condition of one source, by validation questions."""

    condition: Condition
    trait: float
    """Mean rating on validation questions."""


def best_singles(folder: Path, threshold: float) -> dict[str, Single]:
    """Source → its best set, layer and dose of a finished `steer`; a source without a coherent dose
    is left out. Of equals the smaller dose, then the earlier layer."""
    table = pd.read_csv(folder / "tables" / "effects.csv")
    chosen = records(select(table, threshold=threshold, quantity="change", control=False))
    found: dict[str, Single] = {}
    for row in sorted(chosen, key=lambda r: (-r["validation_trait"], r["dose"], r["layer"])):
        place = Place(str(row["set"]), int(row["layer"]), row["steered"])
        single = Single(Condition(place, float(row["dose"])), float(row["validation_trait"]))
        found.setdefault(place.set.split(" ")[0], single)
    return found


@dataclass(eq=False)
class Combining(Steering):
    """Steering with what both sources bring together."""

    combination: CombinePlan
    singles: Mapping[str, Single]

    @cached_property
    def alone(self) -> dict[str, Stack]:
        """Unit vectors of one source each, as `steer` added them."""
        return unit_vectors(self.plan)

    @cached_property
    def pairs(self) -> dict[str, tuple[Stack, Stack]]:
        """`vector`, `random`, `random2`, … → unit vectors of instruction and natural."""
        shape = next(iter(self.alone.values())).shape
        every = {**self.alone, **dict(further_random(self.plan, *shape))}
        sets = [self.singles[source].condition.place.set for source in (INSTRUCTION, NATURAL)]
        found = {OWN: (every[sets[0]], every[sets[1]])}
        for k in range(1, self.plan.config.randoms + 1):
            kind = f"{RANDOM}{k if k > 1 else ''}"
            one, other = (f"{name.rpartition(' ')[0]} {kind}" for name in sets)
            found[kind] = (every[one], every[other])
        return found

    @cached_property
    def vectors(self) -> dict[str, Stack]:
        """The single ones, and unit sums of unit vectors."""
        pairs = self.pairs.items()
        sums = {f"{SUM} {kind}": normalize(a + b, dim=-1) for kind, (a, b) in pairs}
        return {**self.alone, **sums}

    def layer(self, source: str) -> int:
        return self.singles[source].condition.place.layer

    @property
    def better(self) -> str:
        """The source that validation questions prefer; of equals the instruction's."""
        return min(self.singles, key=lambda source: (-self.singles[source].trait, source))

    @property
    def places(self) -> list[Place]:
        sums = dict.fromkeys([self._sum_at(NATURAL), self._sum_at(INSTRUCTION)])
        return [*sums, self.ensemble]

    @property
    def ensemble(self) -> Place:
        """Named by the instruction vector's layer; each vector goes to its own layer and tokens."""
        return Place(f"{ENSEMBLE} {OWN}", self.layer(INSTRUCTION))

    def _sum_at(self, source: str) -> Place:
        """Where the source's own best vector is added, and to the same tokens."""
        return replace(self.singles[source].condition.place, set=f"{SUM} {OWN}")

    def place_of(self, strategy: str) -> Place:
        """Strategy 3 is one of the first two under another name."""
        if strategy == "Strategy 4":
            return self.ensemble
        source = {"Strategy 1": NATURAL, "Strategy 2": INSTRUCTION}.get(strategy, self.better)
        return self._sum_at(source)

    def searched(self) -> dict[Condition, Score]:
        """As `steer` searches a place, on validation questions: doses of sums, shares of the
        ensemble."""
        config = self.combination.config
        *sums, ensemble = self.places
        grids = [(sums, config.doses), ([ensemble], config.shares)]
        return self._climbed(self.scored([UNSTEERED], "validation"), grids, config)

    def _steered(self, condition: Condition) -> Steered:
        if not is_ensemble(condition):
            return super()._steered(condition)
        instruction, natural = self.pairs[condition.place.set.rpartition(" ")[2]]
        first = self._part(INSTRUCTION, instruction, condition.dose)
        return replace(first, also=self._part(NATURAL, natural, condition.dose))

    def _part(self, source: str, units: Float[Tensor, "layer d"], share: float) -> Steered:
        """A share of the source's own best dose, at its own layer and tokens."""
        best = self.singles[source].condition
        place = best.place
        length = share * best.dose * float(self.norms_at(place.steered)[place.layer])
        return Steered(units[place.layer] * length, place.layer, "layer", place.steered)

"""What directions did on validation prompts, and which is preferred."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyses.refusal.saying import Cell
from analyses.refusal.sources import Source
from analyses.refusal.verdict import preference, random_beside


@dataclass(frozen=True)
class Searched:
    """Directions that were tried on validation prompts, and what each made the model say."""

    sources: Sequence[Source]
    rows: Sequence[Mapping[str, Any]]
    missing: Mapping[str, str]
    """Methods without a direction of their own choice, and why."""
    screened: Sequence[Mapping[str, Any]] = ()
    """What each made the model say when only a few prompts were asked."""

    @property
    def keys(self) -> set[str]:
        return {row["key"] for row in (*self.screened, *self.rows)}

    def best(self, *names: str, depth: str | None = None) -> Cell:
        """The preferred direction and dose of these sources, at one depth or at any."""
        among = [s for s in self.sources if s.name in names and depth in (None, s.depth)]
        return best_cell(self.rows, among, self.screened)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(source.name for source in self.sources))


def best_cell(
    searched: Sequence[Mapping[str, Any]],
    among: Sequence[Source],
    screened: Sequence[Mapping[str, Any]] = (),
) -> Cell:
    """Direction and dose that are preferred by what they do on validation prompts."""
    return ranked(searched, among, screened)[0]


def ranked(
    rows: Sequence[Mapping[str, Any]],
    among: Sequence[Source],
    screened: Sequence[Mapping[str, Any]],
) -> list[Cell]:
    """Conditions of these sources, best first; random directions are taken from the screening."""
    by_place = {(source.name, source.depth): source for source in among}
    mine = [row for row in rows if (row["source"], row["depth"]) in by_place]
    beside = random_beside([{**row, "share": rate(row, "coherent")} for row in screened], "share")

    def preferred(row: Mapping[str, Any]) -> Any:
        others = beside.get((row["depth"], row["dose"]), 0.0)
        return preference(rate(row, "coherent"), rate(row, "garbled"), others, row)

    best = sorted(mine, key=preferred)
    return [Cell(by_place[row["source"], row["depth"]], row["dose"]) for row in best]


def rate(row: Mapping[str, Any], quality: str) -> float:
    """Share of a record's answers."""
    return sum(answer["quality"] == quality for answer in row["answers"]) / len(row["answers"])


def coherent(row: Mapping[str, Any]) -> int:
    return sum(answer["quality"] == "coherent" for answer in row["answers"])

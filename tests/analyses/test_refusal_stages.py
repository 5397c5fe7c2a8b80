"""Two stages of the search and when a further round is due: hand-made answers, no model."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
import torch

from analyses.refusal import by_size as sizes
from analyses.refusal.by_family import in_part
from analyses.refusal.config import Families, Sizes
from analyses.refusal.measuring import Measuring
from analyses.refusal.saying import Cell
from analyses.refusal.searched import Searched
from analyses.refusal.sources import Source
from analyses.refusal.subject import Subject
from tl_geometry.directions import Direction

Row = dict[str, Any]

# --- two stages -----------------------------------------------------------------------------------


class Answering(Measuring):
    """A model whose directions refuse so many of ten prompts, by (source, depth, dose)."""

    def __init__(
        self, refused: Mapping[tuple[str, str, float], int], kept: int = 1, sizes: bool = False
    ) -> None:
        asked: Any = {"methods": ("dim",), "depths": (0.2, 0.6), "doses": (0.1, 0.2)}
        config = (Sizes if sizes else Families)(**asked, kept_doses=kept)
        self.task, self.refused = cast(Any, SimpleNamespace(config=config)), refused
        self.asked: list[tuple[str, list[str]]] = []

    def say(self, phase: str, cells: Mapping[str, Cell], of: str) -> list[Row]:
        self.asked.append((of, list(cells)))
        return [self._row(key, cell) for key, cell in cells.items()]

    def _row(self, key: str, cell: Cell) -> Row:
        source = cell.source or UNSTEERED
        n = self.refused.get((source.name, source.depth, cell.dose), 0)
        said = [{"quality": "coherent"}] * n + [{"quality": "normal"}] * (10 - n)
        place = {"source": source.name, "depth": source.depth, "layer": source.layer}
        return {"key": key, **place, "dose": cell.dose, "answers": said}


def made(name: str, depth: str, layer: int) -> Source:
    direction = Direction(torch.ones(2), layer + 1, -1, "dim", None, {"residual_norm": 1.0})
    return Source(name, depth, layer, direction)


UNSTEERED = made("none", "", 0)
SHALLOW, DEEP = made("dim", "0.2", 2), made("dim", "0.6", 6)
RANDOM = [made("random 0", "0.2", 2), made("random 0", "0.6", 6)]


def test_the_best_of_the_screening_go_on_at_every_depth_and_of_a_control_as_many() -> None:
    refused = {("dim", "0.2", 0.1): 3, ("dim", "0.6", 0.2): 9, ("random 0", "0.6", 0.1): 1}
    job = Answering(refused)
    found = job.tried([SHALLOW, DEEP, *RANDOM], [0.1, 0.2])
    (first, screened), (second, searched) = job.asked
    assert (first, second) == ("screen", "search") and len(screened) == 8
    assert searched == [
        "search|dim|0.2|0.1",
        "search|dim|0.6|0.2",
        "search|random 0|0.6|0.1",
        "search|random 0|0.6|0.2",  # wherever a control is best; of equals at the largest dose
    ]
    assert found.best("dim").key == "dim|0.6|0.2"
    two = Answering(refused, kept=2)
    two.tried([SHALLOW, *RANDOM], [0.1, 0.2])
    assert two.asked[1][1] == [
        "search|dim|0.2|0.1",
        "search|dim|0.2|0.2",
        *(f"search|random 0|{place}" for place in ("0.6|0.1", "0.6|0.2", "0.2|0.2", "0.2|0.1")),
    ]


def test_a_further_round_asks_only_what_is_new_and_keeps_earlier_rows() -> None:
    job = Answering({("dim", "0.2", 0.1): 3, ("dim", "0.2", 0.15): 5, ("dim", "0.6", 0.1): 4})
    known = job.tried([SHALLOW], [0.1, 0.2])
    job.asked.clear()
    found = job.tried([SHALLOW, DEEP], [0.1, 0.15, 0.2], known)
    (_, screened), (_, searched) = job.asked
    assert screened == [
        "screen|dim|0.2|0.15",
        "screen|dim|0.6|0.1",
        "screen|dim|0.6|0.15",
        "screen|dim|0.6|0.2",
    ]
    assert searched == ["search|dim|0.2|0.15", "search|dim|0.6|0.1"]
    assert list(found.rows[: len(known.rows)]) == list(known.rows)
    assert list(found.screened[: len(known.screened)]) == list(known.screened)
    assert found.best("dim").key == "dim|0.2|0.15"
    assert found.best("dim", depth="0.6").key == "dim|0.6|0.1"
    # Nothing new: nothing is asked.
    job.asked.clear()
    again = job.tried([SHALLOW, DEEP], [0.1, 0.15, 0.2], found)
    assert [cells for _, cells in job.asked] == [[], []]
    assert list(again.rows) == list(found.rows)


@pytest.mark.parametrize(
    ("refused", "expected"),
    [(1, False), (2, True), (5, True), (6, False), (10, False), (0, False)],
)
def test_a_method_works_in_part_from_20_to_below_60_percent(refused: int, expected: bool) -> None:
    def row(source: str, n: int) -> Row:
        said = [{"quality": "coherent"}] * n + [{"quality": "garbled"}] * (10 - n)
        return {"source": source, "answers": said}

    found = [row("dim", 0), row("dim", refused), row("random 0", 3)]
    assert in_part(Searched((), found, {}), ["dim"]) is expected
    # One method is enough, and a method is as good as its best condition.
    both = Searched((), [*found, row("cosmic", 3), row("cosmic", 0)], {})
    assert in_part(both, ["dim", "cosmic"])
    assert not in_part(Searched((), [*found[2:], row("dim", 3), row("dim", 7)], {}), ["dim"])


# --- the same place and length --------------------------------------------------------------------


def test_random_directions_like_another_have_its_place_length_and_dose() -> None:
    from analyses.refusal.sources import random_like

    class Small(Subject):
        def __init__(self, seed: int = 0) -> None:
            self.config = Families(random_directions=3, seed=seed, dose_unit="residual")
            self.model = cast(Any, SimpleNamespace(cfg=SimpleNamespace(d_model=16)))

    vector = torch.randn(16, generator=torch.Generator().manual_seed(77)) * 7
    own = Direction(vector, 9, -2, "dim", torch.ones(16), {"residual_norm": 40.0})
    like = random_like(Small(), Source("dim", "0.6", 8, own), "as dim|0.6")
    assert [one.name for one in like] == ["random 0", "random 1", "random 2"]
    for one in like:
        assert (one.depth, one.layer) == ("as dim|0.6", 8)
        assert (one.direction.layer, one.direction.position) == (9, -2)
        assert one.direction.norm == pytest.approx(own.norm)
        for unit in ("unit", "raw", "residual"):
            config = Families(random_directions=3, dose_unit=unit)
            asked = Small()
            asked.config = config
            mine, theirs = (Cell(s, 0.3).stated(asked) for s in (one, Source("", "", 8, own)))
            for name in ("dose_unit", "dose_raw", "dose_residual"):
                assert mine[name] == pytest.approx(theirs[name]), (unit, name)
        assert abs(one.direction.unit @ own.unit) < 0.9
    a, b, _ = (one.direction.unit for one in like)
    assert abs(a @ b) < 0.9
    elsewhere = random_like(Small(), Source("dim", "0.2", 2, own), "0.2")
    assert torch.equal(elsewhere[0].direction.vector, like[0].direction.vector)
    other = random_like(Small(seed=1), Source("dim", "0.6", 8, own), "0.6")
    assert not torch.allclose(other[0].direction.unit, a)


def test_a_size_s_layer_is_chosen_as_its_verdict_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it adds over random directions there, at every depth alike."""
    refused = {("dim", "0.2", 0.1): 7, ("random 0", "0.2", 0.1): 6, ("dim", "0.6", 0.1): 5}
    job = Answering(refused, sizes=True)
    own = {0.2: SHALLOW, 0.6: DEEP}
    given: Any = job
    given.subject, given.scores = None, lambda *_: {}
    given.task.model = SimpleNamespace(name="m")
    given.effects = lambda _: None
    monkeypatch.setattr(sizes, "at_depths", lambda _, depths, __: [own[d] for d in depths])
    at = {"0.2": RANDOM[0], "0.6": RANDOM[1]}
    monkeypatch.setattr(sizes, "controls", lambda _, found: [at[s.depth] for s in found])
    monkeypatch.setattr(sizes, "random_like", lambda *_: [])
    sizes.by_size(job)
    of, tested = job.asked[-1]
    assert of == "test"
    dim = {key.rpartition("|")[0] for key in tested if key.startswith("test|dim")}
    assert dim == {"test|dim|0.6"}


# --- further rounds -------------------------------------------------------------------------------


def test_the_fallback_is_due_where_no_method_of_any_model_reaches_20_percent() -> None:
    from analyses.refusal.experiment import nothing_refuses

    def due(*validation: float, config: Any = None) -> bool:
        return nothing_refuses(
            config or Families(),
            {"verdicts": pd.DataFrame({"validation": validation, "coherent": 0.1})},
        )

    assert due(0.0, 0.19) and not due(0.0, 0.2)
    assert not due(0.0, config=Families(one_round=True))
    assert not due(0.0, config=Sizes())

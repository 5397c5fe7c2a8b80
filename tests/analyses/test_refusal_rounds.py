"""Two stages and further rounds: what is asked, what is kept, and how a killed round goes on."""
# ruff: noqa: F811 - fixtures that are imported, and asked for by name

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zlib import crc32

import pandas as pd
import pytest
import torch
from refusal_runs import OK, SHARED, Program, checkpoints, options_of, program, quick  # noqa: F401
from small_runs import frame, rows, tables

from analyses.refusal.by_family import in_part
from analyses.refusal.config import FREE, Families, Sizes
from analyses.refusal.measuring import Measuring, Searched
from analyses.refusal.saying import Cell
from analyses.refusal.sources import Source
from analyses.refusal.subject import Subject
from figures.rows import records, select
from tl_geometry.directions import Direction

ONE = f"{SHARED} --random-directions 1 --depths 0.4 --methods dim --skip-verification "
MORE = (
    f"{ONE} --extra-depths 0.6 --extra-doses 0.07 --fallback-depths 0.2 0.4 "
    "--fallback-doses 0.05 0.2"
)
Row = dict[str, Any]


def by_words(text: str, **_: Any) -> str:
    """A judge who is of some opinion about the noise of a random model."""
    return ("coherent", "garbled", "normal")[crc32(text.encode()) % 3]


# --- two stages -----------------------------------------------------------------------------------


class Answering(Measuring):
    """A model whose directions refuse so many of ten prompts, by (source, depth, dose)."""

    def __init__(self, refused: Mapping[tuple[str, str, float], int], kept: int = 1) -> None:
        config = Families(methods=("dim",), kept_doses=kept)
        self.task, self.refused = cast(Any, SimpleNamespace(config=config)), refused
        self.asked: list[tuple[str, list[str]]] = []

    def say(self, phase: str, cells: Mapping[str, Cell], of: str) -> list[Row]:
        self.asked.append((of, list(cells)))
        return [self._row(key, cell) for key, cell in cells.items()]

    def _row(self, key: str, cell: Cell) -> Row:
        source = cell.source
        assert source is not None
        n = self.refused.get((source.name, source.depth, cell.dose), 0)
        said = [{"quality": "coherent"}] * n + [{"quality": "normal"}] * (10 - n)
        place = {"source": source.name, "depth": source.depth, "layer": source.layer}
        return {"key": key, **place, "dose": cell.dose, "answers": said}


def made(name: str, depth: str, layer: int) -> Source:
    direction = Direction(torch.ones(2), layer + 1, -1, "dim", None, {"residual_norm": 1.0})
    return Source(name, depth, layer, direction)


SHALLOW, DEEP = made("dim", "0.2", 2), made("dim", "0.6", 6)
RANDOM = [made("random 0", "0.2", 2), made("random 0", "0.6", 6)]


def test_the_best_of_the_screening_go_on_at_every_depth_but_of_a_control_at_any() -> None:
    refused = {("dim", "0.2", 0.1): 3, ("dim", "0.6", 0.2): 9, ("random 0", "0.6", 0.1): 1}
    job = Answering(refused)
    found = job.tried([SHALLOW, DEEP, *RANDOM], [0.1, 0.2])
    (first, screened), (second, searched) = job.asked
    assert (first, second) == ("screen", "search") and len(screened) == 8
    assert searched == ["search|dim|0.2|0.1", "search|dim|0.6|0.2", "search|random 0|0.6|0.1"]
    assert found.best("dim").key == "dim|0.6|0.2"
    two = Answering(refused, kept=2)
    two.tried([SHALLOW, *RANDOM], [0.1, 0.2])
    assert two.asked[1][1] == [
        "search|dim|0.2|0.1",
        "search|dim|0.2|0.2",
        "search|random 0|0.6|0.1",
        "search|random 0|0.2|0.1",  # ties: the smaller dose, the shallower layer
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


# --- the extra round and the fallback, by the program ---------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def _judged() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyses.refusal.saying.quality", by_words)
        yield


def start(out: Path, sizes: str, models: Sequence[object]) -> int:
    from analyses.refusal.__main__ import main

    return main(["families", *options_of(models, out, sizes)])


@pytest.fixture(scope="module")
def once(checkpoints: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One round only, though both others are due."""
    out = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyses.refusal.by_family.in_part", lambda *_: True)
        patch.setattr("analyses.refusal.experiment.PARTIAL", 2.0)  # nobody reaches that
        assert start(out, f"{MORE} --one-round", checkpoints[:1]) == OK
    return out / "x"


@pytest.fixture(scope="module")
def further(checkpoints: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extra round, and then the fallback."""
    out = tmp_path_factory.mktemp("further")
    with pytest.MonkeyPatch.context() as patch:
        always(patch)
        assert start(out, MORE, checkpoints[:1]) == OK
    return out / "x"


def always(patch: pytest.MonkeyPatch) -> None:
    for name in ("by_family.in_part", "experiment.nothing_refuses"):
        patch.setattr(f"analyses.refusal.{name}", lambda *_: True)


def keys(run: Path, phase: str) -> list[str]:
    return [row["key"] for row in rows(run) if row["key"].startswith(f"{phase}|")]


def tried_at(run: Path, source: str) -> set[tuple[str, float]]:
    mine = (row for row in rows(run) if row["key"].startswith("screen|"))
    return {(r["depth"], r["dose"]) for r in mine if r["source"] == source and r["depth"] != FREE}


def test_each_round_adds_its_depths_and_doses_and_changes_no_row(once: Path, further: Path) -> None:
    assert tried_at(once, "dim") == {("0.4", dose) for dose in (0.05, 0.1)}
    everywhere = {(d, dose) for d in ("0.2", "0.4", "0.6") for dose in (0.05, 0.07, 0.1, 0.2)}
    for name in ("dim", "shuffled", "random 0"):
        assert tried_at(further, name) == everywhere
    earlier = {row["key"]: row for row in rows(once)}
    later = {row["key"]: row for row in rows(further)}
    for phase in ("score", "screen", "search", "harmful", "without"):
        mine = [key for key in earlier if key.startswith(f"{phase}|")]
        assert mine and all(later[key] == earlier[key] for key in mine)
    assert len(keys(further, "screen")) == len(set(keys(further, "screen")))


def test_after_all_rounds_there_is_one_verdict_a_choice_on_tested_places(further: Path) -> None:
    (best, *own) = records(frame(further, "verdicts"))
    assert best["choice"] == "best depth on validation" and len(own) <= 1
    table = frame(further, "conditions")
    searched = select(table, phase="search", source="dim")
    at_depths = [row for row in records(searched) if str(row["depth"]) != FREE]
    place = (float(best["depth"]), best["dose"])
    (mine,) = (row for row in at_depths if (float(row["depth"]), row["dose"]) == place)
    assert mine["coherent"] == max(row["coherent"] for row in at_depths)
    directions = frame(further, "directions")
    assert set(directions["depth"].astype(str)) - {FREE} == {"0.2", "0.4", "0.6"}
    bypassed = frame(further, "bypass")
    assert bypassed["kind"].is_unique


def cut(lines: list[str], at: int) -> list[str]:
    return [*lines[:at], lines[at][: len(lines[at]) // 2]]


def new_in(phase: str, after: str) -> Callable[[list[str]], int]:
    """The last row of a phase behind the first row whose key is `after`."""

    def at(lines: list[str]) -> int:
        names = [json.loads(line)["key"] for line in lines]
        begins = names.index(after)
        return [k for k, name in enumerate(names) if k > begins and name.startswith(phase)][-1]

    return at


ENDS = "model"
"""The key of the row behind all others of the first rounds."""
KILLED = {
    "screening of the extra round": lambda lines: new_in("screen|", "screen|dim|0.4|0.07")(lines),
    "search of the fallback": new_in("search|", ENDS),
    "tests of the fallback": new_in("test|", ENDS),
    "bypass of the fallback": new_in("bypass search|", ENDS),
}


@pytest.mark.parametrize("moment", KILLED)
def test_a_round_that_was_killed_goes_on_with_the_same_bytes(
    moment: str, further: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    always(monkeypatch)
    run = program.path()
    shutil.copytree(further, run)
    shutil.rmtree(run / "tables")
    (run / "summary.json").unlink()
    log = run / "tiny" / "rows.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(cut(lines, KILLED[moment](lines))))
    if "fallback" in moment:
        # What is half on record is not judged: the fallback was due, and it is finished first.
        monkeypatch.setattr("analyses.refusal.experiment.nothing_refuses", lambda *_: False)
    status = program.plain("families", *options_of(program.checkpoints[:1], program.folder, MORE))
    assert status.status == OK, status.log
    assert tables(run) == tables(further)
    assert rows(run) == rows(further)


def test_a_fallback_that_is_done_is_not_begun_again(
    further: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    always(monkeypatch)
    shutil.copytree(further, program.path())
    status = program.plain("families", *options_of(program.checkpoints[:1], program.folder, MORE))
    assert status.status == OK and status.loaded == ()
    assert tables(program.path()) == tables(further)


def test_the_fallback_is_due_where_no_method_of_any_model_reaches_20_percent() -> None:
    from analyses.refusal.experiment import nothing_refuses

    def due(*coherent: float, config: Any = None) -> bool:
        return nothing_refuses(
            config or Families(), {"verdicts": pd.DataFrame({"coherent": coherent})}
        )

    assert due(0.0, 0.19) and not due(0.0, 0.2)
    assert not due(0.0, config=Families(one_round=True))
    assert not due(0.0, config=Sizes())

"""Further rounds, by the program: what each adds, and how one that was killed goes on."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from refusal_runs import OK, SHARED, Program, options_of
from small_runs import frame, rows, tables

from analyses.refusal.config import FREE
from figures.rows import records, select

ONE = f"{SHARED} --random-directions 1 --depths 0.4 --methods dim --skip-verification "
MORE = (
    f"{ONE} --extra-depths 0.6 --extra-doses 0.07 --fallback-depths 0.2 0.4 "
    "--fallback-doses 0.05 0.2"
)
pytestmark = pytest.mark.usefixtures("opinion")


def start(out: Path, sizes: str, models: Sequence[object]) -> int:
    from analyses.refusal.__main__ import main

    return main(["families", *options_of(models, out, sizes)])


@pytest.fixture(scope="module")
def once(
    opinion: None, checkpoints: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One round only, though both others are due."""
    out = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyses.refusal.by_family.in_part", lambda *_: True)
        patch.setattr("analyses.refusal.experiment.PARTIAL", 2.0)  # nobody reaches that
        assert start(out, f"{MORE} --one-round", checkpoints[:1]) == OK
    return out / "x"


@pytest.fixture(scope="module")
def further(
    opinion: None, checkpoints: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
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
    for phase in ("score", "screen", "search", "harmful", "without", "bypass search"):
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
    "end of the fallback": lambda lines: len(lines) - 1,
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

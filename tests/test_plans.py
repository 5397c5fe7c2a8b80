"""docs/plans.md says where every item of the plans lives: here each of these places is visited."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from pages import ROOT, command_problem, inline_code, place_problem

PAGE = ROOT / "docs" / "plans.md"
COLUMNS = ["plan's section", "item", "where", "note"]
RUN = "RUN/"
REASON = re.compile(r"\*\*(Differently|Not done)[.:]")


@dataclass(frozen=True)
class Item:
    section: str
    item: str
    where: str
    note: str

    def __str__(self) -> str:
        return f"{self.section}: {self.item[:40]}"


def items() -> list[Item]:
    lines = PAGE.read_text("utf-8").splitlines()
    header = f"| {' | '.join(COLUMNS)} |"
    rows = [line for line in lines[lines.index(header) :] if line.startswith("|")]
    rows = [row for row in rows if row != header and set(row) != set("|-")]
    return [Item(*(cell.strip() for cell in row.strip("|").split("|"))) for row in rows]


ITEMS = items()


@pytest.fixture(scope="module")
def run_folder(pocket: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from analyses.homeostasis.config import Config
    from analyses.homeostasis.experiment import run

    config = Config(limit=4, resamples=100, out=tmp_path_factory.mktemp("runs"))
    return run(config, pocket).folder  # type: ignore[arg-type]  # a model


def output_problem(place: str, folder: Path) -> str:
    """Why a run has no such file, column or entry; empty if it has."""
    name, _, entry = place.removeprefix(RUN).partition("::")
    if not (folder / name).is_file():
        return f"a run writes no {name}"
    if not entry:
        return ""
    table = pd.read_csv(folder / name, dtype=str)
    found = entry in table.columns or table.eq(entry).any(axis=None)
    return "" if found else f"{name} has neither a column nor an entry {entry}"


def problem(code: str) -> str:
    """Why a place in the repository, or a command, does not exist; empty if it does."""
    if code.startswith(("python ", "make ")):
        return command_problem(code)
    return place_problem(code)


@pytest.mark.parametrize("item", ITEMS, ids=str)
def test_every_item_has_a_place_or_a_reason(item: Item) -> None:
    assert item.section and item.item
    assert item.where or item.note
    # Nothing stands there unchecked.
    assert re.sub(r"`[^`]+`", "", item.where).strip() == ""


@pytest.mark.parametrize("item", ITEMS, ids=str)
def test_files_tests_and_commands_exist(item: Item) -> None:
    places = [code for code in inline_code(item.where) if not code.startswith(RUN)]
    assert {code: why for code in places if (why := problem(code))} == {}


def test_a_run_writes_what_the_page_says(run_folder: Path) -> None:
    places = {code for item in ITEMS for code in inline_code(item.where) if code.startswith(RUN)}
    assert len(places) > 30
    assert {code: why for code in places if (why := output_problem(code, run_folder))} == {}


def test_every_table_of_a_run_answers_to_an_item(run_folder: Path) -> None:
    page = " ".join(item.where for item in ITEMS)
    names = [f"RUN/tables/{path.name}" for path in (run_folder / "tables").iterdir()]
    assert [name for name in names if name not in page] == []


def test_every_hypothesis_is_claimed() -> None:
    from analyses.homeostasis.hypotheses import HYPOTHESES

    page = " ".join(item.where for item in ITEMS)
    assert [name for name in HYPOTHESES if f"hypotheses.csv::{name}`" not in page] == []


def test_five_plans_are_named_and_those_without_a_table_are_not_begun() -> None:
    text = PAGE.read_text("utf-8")
    states = dict(re.findall(r"^\| (\d) \|.*\| (.+?) \|$", text, re.MULTILINE))
    assert sorted(states) == list("01234")
    for number, state in states.items():
        assert (state == "not begun") != (f"\n## Plan {number}:" in text), number


def test_what_differs_says_why() -> None:
    for item in ITEMS:
        if reason := REASON.search(item.note):
            assert len(item.note[reason.end() :].split()) >= 5, str(item)


@pytest.mark.parametrize(
    "place",
    [
        "RUN/tables/nothing.csv",
        "RUN/tables/pairs.csv::nothing",
        "RUN/tables/hypotheses.csv::compensation",
        "RUN/nothing.json",
    ],
)
def test_what_a_run_does_not_write_is_recognised(place: str, run_folder: Path) -> None:
    assert output_problem(place, run_folder)


def test_ids_are_counted_once() -> None:
    assert len({str(item) for item in ITEMS}) == len(ITEMS) >= 50

"""The pages tell people to click, to type and to import: all of it has to be there."""

import ast
import re
from pathlib import Path

import pytest
from pages import (
    PAGES,
    ROOT,
    command_problem,
    commands,
    inline_code,
    link_problem,
    links,
    place_problem,
    python_blocks,
)

FOLDERS = "tl_geometry|analyses|figures|benchmarks|tests|docs|notebooks"
A_PATH = re.compile(rf"({FOLDERS})/[\w./-]+(::[\w.]+)?")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text(page: Path) -> str:
    return page.read_text("utf-8")


def test_the_pages_are_there() -> None:
    names = {named(page) for page in PAGES}
    assert names >= {"README.md", "docs/README.md", "docs/plans.md", "docs/homeostasis.md"}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    problems = {target: link_problem(page, target) for target in links(text(page))}
    assert {t: problem for t, problem in problems.items() if problem} == {}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_can_be_given(page: Path) -> None:
    problems = {command: command_problem(command) for command in commands(text(page))}
    assert {c: problem for c, problem in problems.items() if problem} == {}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_named_exist(page: Path) -> None:
    places = [code for code in inline_code(text(page)) if A_PATH.fullmatch(code)]
    assert {p: problem for p in places if (problem := place_problem(p))} == {}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_blocks_compile(page: Path) -> None:
    for block in python_blocks(text(page)):
        compile(block, named(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_python_blocks_import_and_call_can_be_called(page: Path) -> None:
    for block in python_blocks(text(page)):
        tree = ast.parse(block)
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        found: dict[str, object] = {}
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                exec(ast.unparse(node), found)
        assert [name for name in called & set(found) if not callable(found[name])] == []


def test_the_map_of_the_pages_is_complete() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(text(index))}
    pages = {page for page in PAGES if page.parent.name == "docs" and page != index}
    assert {named(page) for page in pages - linked} == set()


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("[a](b.md) ![c](d/e.png) [f](https://g.h) [i](#j)", ["b.md", "d/e.png", "#j"]),
        ("```\n[a](b.md)\n```\n", []),
    ],
)
def test_links_are_found_by_hand(page: str, expected: list[str]) -> None:
    assert links(page) == expected


def test_commands_are_found_by_hand() -> None:
    page = "Use `make demo`, or:\n\n    python -m a.b --c 1  # why\n\nto make things.\n"
    assert commands(page) == ["python -m a.b --c 1  # why", "make demo"]


@pytest.mark.parametrize(
    "target", ["nowhere.md", "homeostasis.md#no-such-heading", "../nowhere/", "#no-such-heading"]
)
def test_a_dead_link_is_recognised(target: str) -> None:
    assert link_problem(ROOT / "docs" / "definitions.md", target)


@pytest.mark.parametrize(
    "command",
    [
        "make nothing",
        "python -m analyses.nothing",
        "python -m nothing",
        "python -m tl_geometry.geometry",
        "python -m tl_geometry.prompts",
        "python -m analyses --all",
        "python -m analyses.homeostasis --no-such-option",
        "python -m analyses.homeostasis --limit many",
        "python -m analyses.homeostasis --preset nothing",
        "python -m figures RUN_DIR --export gif",
        "python -m figures RUN_DIR OTHER_DIR",
        "python -m benchmarks nothing",
        "python -m tl_geometry.pocket.train --stage none",
        "python -m tl_geometry.pocket.corpus --nothing",
    ],
)
def test_a_command_that_cannot_be_given_is_recognised(command: str) -> None:
    assert command_problem(command)


@pytest.mark.parametrize(
    "command",
    [
        "make setup lint",
        "make PYTHON=python3.12 test",
        "python -m analyses",
        "python -m analyses.homeostasis --models a,b --limit 10 --export svg,pdf --dry-run",
        "python -m analyses.homeostasis --preset seed --limit 10  # a pilot",
        "python -m figures RUN_DIR --export svg pdf",
        "python -m benchmarks homeostasis --rounds 3",
        "python -m tl_geometry.pocket.train pocket-mistral --stage base",
        "python -m tl_geometry.pocket.corpus --bank",
    ],
)
def test_a_command_that_can_be_given_is_let_pass(command: str) -> None:
    assert command_problem(command) == ""


@pytest.mark.parametrize(
    "place",
    [
        "tl_geometry/nothing.py",
        "tl_geometry/geometry.py::nothing",
        "analyses/homeostasis/measurer.py::HomeostasisMeasurer.nothing",
        "tests/test_docs.py::test_nothing",
        "docs/homeostasis.md#nothing",
    ],
)
def test_a_place_that_does_not_exist_is_recognised(place: str) -> None:
    assert place_problem(place)


@pytest.mark.parametrize(
    "place",
    [
        "tl_geometry/pocket/",
        "tl_geometry/geometry.py::participation_ratio",
        "analyses/homeostasis/measurer.py::HomeostasisMeasurer.measure_compensation",
        "analyses/homeostasis/hypotheses.py::HYPOTHESES",
        "tests/test_docs.py::test_links_lead_somewhere",
        "docs/homeostasis.md#the-four-hypotheses-and-the-rule-for-the-verdict",
    ],
)
def test_a_place_that_exists_is_let_pass(place: str) -> None:
    assert place_problem(place) == ""

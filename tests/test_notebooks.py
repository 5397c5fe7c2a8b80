"""Notebooks are committed without outputs and hold no logic; `make test` runs them with nbmake."""

import ast
import json
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, command_problem, commands, link_problem, links

NOTEBOOKS = tuple(sorted((ROOT / "notebooks").glob("*.ipynb")))
SETTINGS = {"Config", "Extract", "Validate", "Transfer", "Steer", "Combine", "Weights"}
SETTINGS |= {"Similarity"}
LOGIC = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.If, ast.Try,
         ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)  # fmt: skip


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    content = json.loads(path.read_text("utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_the_notebooks_are_there() -> None:
    names = ["01_quickstart", "02_homeostasis", "03_cross_architecture", "04_refusal"]
    names += ["05_alignment", "06_alignment_steering", "07_model_diff"]
    assert [path.stem for path in NOTEBOOKS] == names


def test_outputs_are_cleared_and_any_python_kernel_will_do(path: Path) -> None:
    content = json.loads(path.read_text("utf-8"))
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    for cell in cells(path, "code"):
        assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_there_is_no_logic_in_a_notebook(path: Path) -> None:
    for cell in cells(path, "code"):
        found = [node for node in ast.walk(ast.parse(source(cell))) if isinstance(node, LOGIC)]
        assert not found, source(cell)


def test_every_run_goes_to_a_temporary_folder(path: Path) -> None:
    calls = [
        node
        for cell in cells(path, "code")
        for node in ast.walk(ast.parse(source(cell)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in SETTINGS
    ]
    assert calls
    for call in calls:
        assert "out" in {keyword.arg for keyword in call.keywords}, ast.unparse(call)


def test_links_and_commands_in_the_prose_are_good(path: Path) -> None:
    for cell in cells(path, "markdown"):
        problems = [link_problem(path, target) for target in links(source(cell))]
        problems += [command_problem(command) for command in commands(source(cell))]
        assert not any(problems), problems


@pytest.mark.parametrize("name", ["02_homeostasis", "03_cross_architecture", "04_refusal"])
def test_every_figure_is_shown_and_explained(name: str) -> None:
    figures = import_module(f"figures.{name[3:]}").FIGURES
    content = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8"))
    pairs = list(pairwise(content["cells"]))
    for figure in figures:
        after = [then for cell, then in pairs if f'figures["{figure}"]' in source(cell)]
        assert len(after) == 1 and after[0]["cell_type"] == "markdown", figure

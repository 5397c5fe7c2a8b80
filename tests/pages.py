"""What the pages of the documentation point at, and whether it is there.

A *place* is a path from the root, or `path::name` with a function, class, method or constant of
that Python file, or `page.md#heading`.
"""

import ast
import functools
import importlib
import importlib.util
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import tyro

ROOT = Path(__file__).parents[1]
PAGES = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]))


def inline_code(text: str) -> list[str]:
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", without_fences(text))


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Targets of links and images that stay inside the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_fences(text))
    return [t for t in targets if not re.match(r"[a-z]+:", t)]


def commands(text: str) -> list[str]:
    """Every `python -m …` and `make …`, in a code block or inline, without its comment."""
    lines = [line.strip() for line in text.splitlines()]
    starts = re.compile(r"(python -m|make) [\w.]")
    return [code for code in [*lines, *inline_code(text)] if starts.match(code)]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ +(.+?) *$", without_fences(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def link_problem(page: Path, target: str) -> str:
    """Why this link of the page leads nowhere; empty if it leads somewhere."""
    name, _, anchor = target.partition("#")
    path = page.parent / name if name else page
    if not path.exists():
        return f"{name} does not exist"
    return f"{path.name} has no heading #{anchor}" if anchor and anchor not in anchors(path) else ""


def place_problem(place: str) -> str:
    """Why there is no such place; empty if there is."""
    if "#" in place:
        return link_problem(ROOT / "root.md", place)
    name, _, inside = place.partition("::")
    if not (ROOT / name).exists():
        return f"{name} does not exist"
    return f"{name} defines no {inside}" if inside and inside not in defined(ROOT / name) else ""


@functools.lru_cache
def defined(path: Path) -> frozenset[str]:
    """Functions, classes, methods (as `Class.method`) and constants of a Python file."""
    return frozenset(_names(ast.parse(path.read_text("utf-8")), ""))


def _names(scope: ast.AST, prefix: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _names(node, f"{prefix}{node.name}.")
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))


def command_problem(command: str) -> str:
    """Why this command cannot be given; empty if it can. Nothing is run."""
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        unknown = [word for word in words[1:] if "=" not in word and word not in targets]
        return f"the Makefile has no target {unknown}" if unknown else ""
    name, args = words[2], words[3:]
    if importlib.util.find_spec(name.split(".")[0]) is None or not _spec(name):
        return f"there is no module {name}"
    module = _started(name)
    if isinstance(module, str):
        return module
    try:
        _parser(module)(args)
    except SystemExit as stopped:
        return f"{name} does not understand {shlex.join(args)} (exit status {stopped.code})"
    return ""


def _spec(name: str) -> Any:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None


def _started(name: str) -> ModuleType | str:
    """The module that `python -m name` runs, or why it would do nothing."""
    spec = _spec(name)
    if spec.submodule_search_locations is not None:
        name = f"{name}.__main__"
        spec = _spec(name)
    if spec is None or '__name__ == "__main__"' not in Path(spec.origin).read_text("utf-8"):
        return f"python -m {name} does nothing: it has no part that starts"
    return importlib.import_module(name)


def _parser(module: ModuleType) -> Callable[[list[str]], object]:
    """Reads arguments as the module does, without doing what they ask for."""
    if hasattr(module, "read"):
        return module.read
    if hasattr(module, "PRESETS"):
        from analyses.cli import parse

        return lambda args: parse(module.Config, "", args, module.PRESETS)
    if hasattr(module, "Config"):
        return lambda args: tyro.cli(module.Config, args=args)
    if hasattr(module, "main"):

        @functools.wraps(module.main)
        def read_only(*args: Any, **kwargs: Any) -> None: ...

        return lambda args: tyro.cli(read_only, args=args)

    def spelled_out(args: list[str]) -> None:
        usage = Path(str(module.__file__)).read_text("utf-8")
        if not all(arg in usage for arg in args):
            raise SystemExit(2)

    return spelled_out

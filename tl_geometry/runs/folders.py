"""Folders of runs: their names, what may be in them, and how an old run makes way for a new one."""

import errno
import json
import os
import re
import time
from pathlib import Path
from typing import Any, Literal

from tl_geometry.runs.atomic import PARTIAL, sync_folder
from tl_geometry.runs.lock import HOLDER, LOCK
from tl_geometry.runs.spec import Spec

SPEC, SUMMARY, LOG = "spec.json", "summary.json", "log.txt"


def state(folder: Path) -> Literal["absent", "partial", "finished"]:
    """How far a run has come, from its files only; takes no lock and changes nothing."""
    if not (folder / SPEC).exists():
        return "absent"
    if not (folder / SUMMARY).exists():
        return "partial"
    same = read_json(folder / SUMMARY).get("key") == read_json(folder / SPEC).get("key")
    return "finished" if same else "partial"


def run_name(spec: Spec, model_or_preset: str, explicit: str | None = None) -> str:
    """The user's own name, else `<model or preset>-<first 8 digits of the key>`."""
    if explicit is None:
        return f"{slug(model_or_preset)}-{spec.key[:8]}"
    if explicit != slug(explicit):
        raise ValueError(
            f"a run cannot be named {explicit!r}: use letters, digits, '.', '_' and '-', "
            f"for example {slug(explicit)!r}"
        )
    return explicit


def run_folder(analysis: str, name: str, out: Path | None = None) -> Path:
    """`runs/<analysis>/<name>`, or `<out>/<name>`."""
    return (out or Path("runs") / analysis) / name


def slug(name: str) -> str:
    """A name as one safe folder name: `mistralai/Mistral-7B` → `mistralai--Mistral-7B`."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "--", name).strip(".-")
    if not safe:
        raise ValueError(f"{name!r} leaves nothing to name a folder by; use letters or digits")
    return safe


def make_run_folder(folder: Path) -> None:
    """ValueError where there is a file of that name, or no leave to write."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ValueError(
            f"{folder} cannot hold a run ({error.strerror}): choose another --out or --run"
        ) from error


def run_content(folder: Path) -> list[Path]:
    """What belongs to a run, in an order in which it can be moved away and always be understood.

    Without its summary a run is partial, with its spec it is still known: so the one goes first
    and the other last.
    """
    ours = {LOCK, HOLDER}
    found = [p for p in folder.iterdir() if p.name not in ours and p.suffix != PARTIAL]
    return sorted(found, key=lambda path: (path.name == SPEC, path.name != SUMMARY, path.name))


def refuse_foreign(folder: Path) -> None:
    """ValueError for a folder with somebody's files in it: they are not ours to move or mix."""
    content = run_content(folder)
    if content and not (folder / SPEC).exists():
        raise ValueError(
            f"{folder} holds {content[0].name} but no {SPEC}, so it is not a run: choose another "
            "--out or --run, or empty the folder"
        )


def move_aside(folder: Path) -> None:
    """Everything of a run into `<folder>.old-<time>`; nothing is deleted."""
    content = run_content(folder)
    if not content:
        return
    base = f"{folder.name}.old-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (base if i == 1 else f"{base}-{i}" for i in range(1, 1000))
    aside = next(p for p in map(folder.with_name, names) if not p.exists())
    aside.mkdir()
    for path in content:
        path.rename(aside / path.name)
    sync_folder(aside)
    sync_folder(folder)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that a run wrote; ValueError if it was damaged since."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: start over with --fresh") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object: start over with --fresh")
    return content

"""The plan's `experiments/<name>/config.json`: which model is base, which is instruct.

    {"defaults": {"extraction": "base", "application": "instruct"},
     "model_variants": {"base": {"model": "…"}, "instruct": {"model": "…"}}}

Layout of github.com/ewernn/trait-interp. `application` is the model that vectors steer.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "experiments"


def path_of(name: str) -> Path:
    """A name below `experiments/`, a folder, or the file itself."""
    given = Path(name)
    if given.suffix == ".json":
        return given
    folder = given if len(given.parts) > 1 else Path(FOLDER) / name
    return folder / "config.json"


def read_experiment(name: str) -> tuple[str, str]:
    """Base and instruct model of an experiment. ValueError says what the file lacks."""
    path = path_of(name)
    if not path.exists():
        raise ValueError(
            f"--experiment {name}: there is no {path}; `--write-experiment {name}` makes one of "
            "the models that are given"
        )
    try:
        found = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: line {error.lineno} is no JSON ({error.msg})") from error
    defaults = _part(path, found, "defaults")
    base, instruct = (_model(path, found, defaults, role) for role in ("extraction", "application"))
    return base, instruct


def _part(path: Path, found: Any, name: str) -> Mapping[str, Any]:
    part = found.get(name) if isinstance(found, dict) else None
    if not isinstance(part, dict):
        raise ValueError(f"{path} has no {name!r}: see docs/model_diff.md")
    return part


def _model(path: Path, found: Any, defaults: Mapping[str, Any], role: str) -> str:
    variants = _part(path, found, "model_variants")
    name = str(defaults.get(role))
    if name not in variants:
        known = ", ".join(variants) or "none"
        raise ValueError(f"{path}: the {role} model is {name!r}, and its variants are {known}")
    variant = variants[name]
    if not isinstance(variant, dict) or not isinstance(variant.get("model"), str):
        raise ValueError(f"{path}: the variant {name!r} names no model")
    if variant.get("lora"):
        raise ValueError(
            f"{path}: the variant {name!r} is an adapter: merge it into a folder of its own, or "
            "look at its change with `weights --adapter`"
        )
    return variant["model"]


def experiment(base: str, instruct: str) -> dict[str, Any]:
    """What such a file says of two models."""
    return {
        "defaults": {"extraction": "base", "application": "instruct"},
        "model_variants": {"base": {"model": base}, "instruct": {"model": instruct}},
    }


def write_experiment(name: str, base: str, instruct: str) -> Path:
    """ValueError where there is one that says something else: nobody's file is overwritten."""
    path, wanted = path_of(name), experiment(base, instruct)
    if path.exists() and json.loads(path.read_text()) != wanted:
        raise ValueError(f"{path} is there and names other models: choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(wanted, indent=2) + "\n")
    return path

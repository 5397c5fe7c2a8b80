"""The run of `extract` whose vectors a step adds: the one that is named, or the one to make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from analyses.alignment_steering.config import Extract, Paired, Validate
from analyses.alignment_steering.plan import ANALYSIS, Pair, Plan, make_plan
from analyses.alignment_steering.transfer_config import Transfer
from tl_geometry.runs import run_folder, state
from tl_geometry.runs.folders import SPEC, read_json


@dataclass(frozen=True)
class Extracted:
    """Where vectors are, or will be."""

    folder: Path
    key: str
    making: Plan | None = None
    """What makes them; nothing where a run is named."""


def extracted(config: Validate | Transfer, found: Sequence[Pair], *, whole: bool) -> Extracted:
    """ValueError where the run that is named has no vectors of these pairs as they are now, or,
    where the step needs the `whole` run with its tables, is not finished."""
    if config.vectors is None:
        making = make_plan(_settings(config))
        return Extracted(making.folder, making.spec.key, making)
    folder = run_folder(ANALYSIS, config.vectors, config.out)
    if not (folder / SPEC).is_file():
        raise ValueError(
            f"{folder} is no run: name one of `extract` with --vectors, or leave it out and the "
            "vectors are made"
        )
    about = read_json(folder / SPEC)
    _check(about.get("spec", {}), folder, found)
    if whole and state(folder) != "finished":
        raise ValueError(f"{folder} is not finished: go on with it first, by the same `extract`")
    return Extracted(folder, str(about["key"]))


def _settings(config: Validate | Transfer) -> Extract:
    """The same models and preference pairs, in a run of its own name."""
    shared = {one.name: getattr(config, one.name) for one in fields(Paired)}
    return replace(Extract(**shared), run=None, export=(), fresh=False, resume=False, skip=False)


def _check(spec: Mapping[str, Any], folder: Path, found: Sequence[Pair]) -> None:
    if spec.get("step") != "extract":
        raise ValueError(f"{folder} is a run of {spec.get('step')}: --vectors takes one of extract")
    for pair in found:
        for member in () if pair.reason else pair.members:
            if why := _why_not(dict(member.identity), spec["model"]):
                raise ValueError(f"{folder} has no vectors of {member.name} {why}")


def _why_not(identity: Mapping[str, str], known: Sequence[Mapping[str, str]]) -> str:
    """Why vectors of the known models are not of this one; empty if they are."""
    if identity in known:
        return ""
    for model in known:
        if model["name"] == identity["name"]:
            old, new = (f"{m['source']} {m['revision'][:15]}" for m in (model, identity))
            return f"as it is now: they are of {old}, and it is {new}"
    return f"at all: its models are {', '.join(model['name'] for model in known)}"

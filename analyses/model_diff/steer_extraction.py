"""Whose vectors `steer` adds: the run that its settings make, or a finished one by its name."""

from dataclasses import fields, replace
from typing import Any

from analyses.model_diff.config import Diff, Extract
from analyses.model_diff.plan import OF_THE_RUN, Plan, extraction_of, make_plan
from analyses.model_diff.steer_config import Steer
from tl_geometry.runs.folders import read_json
from tl_geometry.spans import Span

PLAIN_EXPERIMENT = "model_diff"
"""The plan's name of its one experiment: the run that these settings make."""


def vectors_of(config: Steer) -> tuple[Plan, str | None]:
    """The extraction, and its only source where --vector-from-trait names a category.

    ValueError for a trait that is written otherwise, a run that is not finished, or one of other
    models, data or another trait.
    """
    config, source = _of_trait(config)
    plan = extraction_of(config, config.vectors)
    return (plan if config.vectors is None else _as_it_was(config, plan)), source


def _as_it_was(config: Steer, plan: Plan) -> Plan:
    """The named run has settings of its own, and with them its positions and methods."""
    spec = read_json(plan.folder / "spec.json")["spec"]
    said: dict[str, Any] = spec["parameters"]
    shared = {f.name: getattr(config, f.name) for f in fields(Diff) if f.name not in OF_THE_RUN}
    positions = said["positions"]
    own = {
        "instruction_positions": tuple(positions.get("instruction", ())),
        "natural_positions": tuple(positions.get("natural", ())),
        "methods": tuple(said["methods"]),
        "new_tokens": _asked_tokens(said),
        **{name: said[name] for name in ("limit", "rollouts", "temperature", "resamples", "seed")},
    }
    asked = Extract(**{**shared, "vet": None, "preset": None, "run": config.vectors, **own})
    found = make_plan(asked, said.get("vet", {"by": "none"}))
    if spec != found.spec.as_dict():
        raise ValueError(
            f"--vectors {config.vectors}: {plan.folder} holds vectors of other models or data, or "
            f"of {said['trait']} (the last is meant with --vector-from-trait {said['trait']})"
        )
    return found


def _asked_tokens(said: dict[str, Any]) -> int:
    """What --new-tokens was, seen from the source whose positions do not say how many."""
    for source, positions in said["positions"].items():
        if any(Span.parse(text).new_tokens is None for text in positions):
            return said["new_tokens"][source]
    return Extract.new_tokens


def _of_trait(config: Steer) -> tuple[Steer, str | None]:
    """EXPERIMENT/CATEGORY/TRAIT: the run, the source and the trait whose vectors are meant."""
    if config.vector_from_trait is None:
        return config, None
    *before, trait = config.vector_from_trait.split("/")
    if not trait or len(before) > 2:
        raise ValueError(
            f"--vector-from-trait {config.vector_from_trait}: write TRAIT, CATEGORY/TRAIT or "
            "EXPERIMENT/CATEGORY/TRAIT"
        )
    if len(before) == 2 and before[0] != PLAIN_EXPERIMENT:
        if config.vectors not in (None, before[0]):
            raise ValueError(f"--vectors {config.vectors} and {before[0]} are two runs: name one")
        config = replace(config, vectors=before[0])
    return replace(config, trait=trait), _source_of(before[-1]) if before else None


def _source_of(category: str) -> str:
    source = category.rpartition("_")[2]
    if source not in ("instruction", "natural"):
        raise ValueError(
            f"the category {category!r} is of no source: it ends in _instruction or _natural"
        )
    return source

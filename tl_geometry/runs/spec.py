"""What a run is: everything that changes a number, and its hash."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any

from tl_geometry.runs.canonical import digest, plain

NOT_IN_KEY = frozenset(
    {
        "device",
        "batch_size",
        "executor",
        "workers",
        "out",
        "run",
        "policy",
        "resume",
        "fresh",
        "skip",
        "export",
        "dry_run",
        "wandb",
    }
)
"""Settings that say how or where to compute, and change no number beyond rounding."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Two runs with equal specs give equal numbers; the record of one serves the other.

    ValueError for what is not JSON, is not finite, or does not belong into the key.
    """

    analysis: str
    step: str
    version: int
    """Raised when the same settings would give other numbers."""
    model: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    """`name`, `source` (hub id, or a local folder's name) and `revision` (commit or weight hash);
    several of them where one run compares models."""
    dtype: str
    quantization: str = "none"
    prompts_hash: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Plain copies: what the caller does to its own mapping later cannot change the key.
        several = isinstance(self.model, tuple)
        models = [plain(model, "model") for model in (self.model if several else (self.model,))]
        for model in models:
            _check_model(model)
        object.__setattr__(self, "model", tuple(models) if several else models[0])
        object.__setattr__(self, "parameters", plain(self.parameters, "parameters"))
        if misplaced := NOT_IN_KEY.intersection(self.parameters):
            raise ValueError(
                f"parameters {sorted(misplaced)} change no number, so they must not change the "
                "key of a run: leave them out of the spec"
            )

    @cached_property
    def key(self) -> str:
        """SHA-256 of the canonical JSON of all fields."""
        return digest(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return plain(asdict(self))


def _check_model(model: Mapping[str, Any]) -> None:
    for name in ("name", "source", "revision"):
        if not isinstance(model.get(name), str) or not model[name]:
            raise ValueError(
                f"model.{name} is {model.get(name)!r}: a model is known by its name, its source "
                "and its revision (the hub's commit, or the hash of a local folder's weights)"
            )
    if PurePath(model["source"]).is_absolute():
        raise ValueError(
            f"model.source is the path {model['source']}: give the folder's name only, since the "
            "weight hash says which model it is wherever the folder lies"
        )

"""The models of a request: what is known of each before it is loaded, and loading it."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from analyses.cli import Common
from tl_geometry.catalogue import ModelSize, ModelSpec, identity, resolve, size_of
from tl_geometry.models import Model, chosen_device, load_model, random_model, torch_dtype

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelPlan:
    """One model of a comparison; without a size it cannot be measured, for a reason."""

    name: str
    spec: ModelSpec
    size: ModelSize | None
    revision: str
    reason: str = ""

    @property
    def identity(self) -> dict[str, str]:
        """As in a run's Spec. A shipped model is the same wherever the package is installed."""
        source = self.spec.name if self.spec.local else self.spec.source
        return {"name": self.name, "source": source, "revision": self.revision}


def model_plans(config: Common) -> tuple[ModelPlan, ...]:
    """Each named model once; one that cannot be found or read is there with its reason.

    ValueError for an unknown name.
    """
    specs = [resolve(name, config.revision) for name in dict.fromkeys(config.models)]
    return tuple(_model_plan(spec) for spec in specs)


def _model_plan(spec: ModelSpec) -> ModelPlan:
    try:
        return ModelPlan(spec.name, spec, size_of(spec), identity(spec).revision)
    except ValueError as error:
        return ModelPlan(spec.name, spec, None, "unresolved", str(error))


def dtype_name(config: Common) -> str:
    """`float32`, …: what is asked for, or what the device gets by default."""
    return str(torch_dtype(config.dtype, chosen_device(config.device))).removeprefix("torch.")


def address(config: Common, spec: ModelSpec) -> str:
    """What `load_model` finds this model by: its short name where the user gave that."""
    return spec.name if spec.name in config.models else spec.source


def load(config: Common, spec: ModelSpec) -> Model:
    """Raises as `load_model`."""
    log.info("loading %s", spec.name)
    options: dict[str, Any] = {name: getattr(config, name) for name in ("device", "dtype")}
    return load_model(
        address(config, spec),
        quantization=config.quantization,
        revision=config.revision,
        **options,
    )


def random_twin(config: Common, model: ModelPlan) -> Model:
    """The model's architecture with random weights. Raises as `random_model`."""
    return random_model(
        address(config, model.spec),
        # Of its own: models of one architecture would share one random twin.
        seed=int(np.random.default_rng([config.seed, *model.name.encode()]).integers(2**31)),
        device=config.device,
        dtype=config.dtype,
        revision=config.revision,
    )

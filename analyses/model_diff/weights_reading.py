"""What is made of one layer's changes: directions, the words they stand for, and energies."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from analyses.model_diff.weights_inputs import Inputs
from analyses.model_diff.weights_plan import WeightsPlan
from analyses.model_diff.weights_tables import APPLIED, MEAN_COLUMN, Sets
from tl_geometry.weight_applied import applied, applied_by_layer
from tl_geometry.weight_directions import mean_column, top_directions
from tl_geometry.weight_energy import energy_along
from tl_geometry.weight_lens import Lens, Readout, logit_lens

Written = Mapping[str, torch.Tensor]
Told = tuple[str, torch.Tensor | None, dict[str, Any]]
"""Kind of direction, the direction (None where it is missing), and its row."""


class Reading:
    """One layer after another; nothing of a layer is kept."""

    def __init__(
        self, plan: WeightsPlan, readout: Readout, sets: Sets, inputs: Inputs | None
    ) -> None:
        self.config, self.readout, self.sets, self.inputs = plan.config, readout, sets, inputs
        self.tokenizer = _tokenizer(plan)

    def layer(self, layer: int, written: Written) -> Iterator[Told]:
        yield self._mean_column(written)
        for component, delta in written.items():
            yield from self._singular(component, delta)
        if self.inputs is not None:
            yield from self._applied(layer, written, self.inputs)

    def energies(self, layer: int, written: Written) -> Iterator[dict[str, Any]]:
        """How much each matrix's change writes along each trait vector of its layer."""
        if not self.sets:
            return
        vectors = np.stack([of_layers[layer] for of_layers in self.sets.values()])
        for component, delta in written.items():
            if not delta.any():
                continue
            along = energy_along(delta.double().numpy(), vectors)
            for name, found in zip(self.sets, along, strict=True):
                key = f"energy|{layer}|{component}|{name}"
                about = {"layer": layer, "component": component, "set": name}
                yield {"key": key, "status": "ok", "reason": "", **about, **asdict(found)}

    def _mean_column(self, written: Written) -> Told:
        try:
            return self._found(MEAN_COLUMN, mean_column(written))
        except ValueError as error:
            return _missing(MEAN_COLUMN, error)

    def _singular(self, component: str, delta: torch.Tensor) -> Iterator[Told]:
        try:
            top = top_directions(delta, self.config.directions)
        except ValueError as error:
            yield _missing(f"{component} 0", error)
            return
        for k, (vector, energy) in enumerate(zip(top.vectors, top.energy, strict=True)):
            yield self._found(f"{component} {k}", vector, energy=float(energy), noise=top.noise)

    def _applied(self, layer: int, written: Written, inputs: Inputs) -> Iterator[Told]:
        means, biases = inputs.of(layer), inputs.biases_of(layer)
        for component, mean in means.items():
            kind = f"{component} {APPLIED}"
            try:
                added = applied(written[component], mean, biases.get(component))
                yield self._found(kind, added, **inputs.about)
            except ValueError as error:
                yield _missing(kind, error)
        try:
            whole = applied_by_layer(written, means, biases)
            yield self._found(APPLIED, whole, **inputs.about)
        except ValueError as error:
            yield _missing(APPLIED, error)

    def _found(self, kind: str, direction: torch.Tensor, **about: Any) -> Told:
        return kind, direction, {"status": "ok", "reason": "", **about, **self._said(direction)}

    def _said(self, direction: torch.Tensor) -> dict[str, Any]:
        lens: Lens = logit_lens(direction, self.readout, self.config.tokens)
        words = self.tokenizer.convert_ids_to_tokens
        return {
            "norm": float(direction.norm()),
            "peak": lens.peak,
            "toward": words(lens.toward.tolist()),
            "toward_logits": lens.toward_logits.tolist(),
            "away": words(lens.away.tolist()),
            "away_logits": lens.away_logits.tolist(),
        }


def _missing(kind: str, error: ValueError) -> Told:
    return kind, None, {"status": "missing", "reason": str(error)}


def _tokenizer(plan: WeightsPlan) -> Any:
    from transformers import AutoTokenizer

    spec = plan.models[0].spec
    return AutoTokenizer.from_pretrained(spec.source, revision=spec.revision)

"""The plan's notebook interface: one patching object that works on any model.

    patcher = UniversalActivationPatching("pocket-mistral")
    layer = patcher.find_critical_layer(pairs)            # (plain, self-observing) texts
    patched = patcher.patch_v_at_layer(plain, recursive, layer)
    patcher.measure_rv_delta(patched, patcher.baseline(plain))

`run(Config(...))` does it for many models with pairing, controls, intervals and a report. Families
differ in their modules, not here: TransformerLens's architecture adapters give every model the same
hook names, and `python -m tl_geometry.conformance NAME` says whether a new one keeps the promises.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analyses.cross_architecture.measure import PairIds, patches, sweep
from tl_geometry.layer_search import strongest
from tl_geometry.models import Model, load_model, wrap
from tl_geometry.patching import Ids
from tl_geometry.sites import EARLY_DEPTH, check_layers, layer_at
from tl_geometry.tokens import encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Output = Mapping[str, Any]


class UniversalActivationPatching:
    """Value patching and R_V in one model, whatever its family."""

    def __init__(
        self,
        model_name: str,
        model: "Model | PreTrainedModel | None" = None,
        tokenizer: Any = None,
        *,
        window: int = 16,
    ) -> None:
        """A name to load; or a loaded model; or a Hugging Face model with its `tokenizer`.

        A Hugging Face model is wrapped in place: it can no longer be saved afterwards.
        """
        self.model_name = model_name
        self.model = _as_model(model_name, model, tokenizer)
        self.window = window

    @property
    def num_layers(self) -> int:
        """Read from the model, never from a table."""
        return self.model.cfg.n_layers

    @property
    def early_layer(self) -> int:
        """The layer in R_V's denominator: 5/32 of the depth."""
        return layer_at(EARLY_DEPTH, self.num_layers)

    def find_critical_layer(
        self,
        prompt_pairs: Sequence[tuple[str, str]],
        layer_range: tuple[int, int] | None = None,
    ) -> int:
        """The layer at which log R_V of the two kinds of text differs most (largest Welch t).

        `prompt_pairs` are (plain, self-observing) texts; `layer_range` is first and last layer,
        both searched (default: all behind the early one). The best of many layers looks good by
        being chosen: measure its effect on other pairs. ValueError for fewer than two pairs, a
        text shorter than the window, or layers that do not exist.
        """
        first, last = layer_range or (self.early_layer + 1, self.num_layers - 1)
        check_layers([first, last], self.num_layers)
        layers = [n for n in range(first, last + 1) if n != self.early_layer]
        texts = [*(plain for plain, _ in prompt_pairs), *(rec for _, rec in prompt_pairs)]
        rows = sweep(self.model, [self._ids(text) for text in texts], self.window)
        values = np.log(np.array([row["pr_value"] for row in rows]))
        r_v = values[:, layers] - values[:, [self.early_layer]]
        kinds = np.arange(len(texts)) >= len(prompt_pairs)
        return layers[strongest(r_v, kinds)]

    def baseline(self, text: str) -> Output:
        """R_V of a text at every layer, nothing patched: `r_v`, layer → value."""
        (row,) = sweep(self.model, [self._ids(text)], self.window)
        early = row["pr_value"][self.early_layer]
        return {"r_v": {n: pr / early for n, pr in enumerate(row["pr_value"])}}

    def patch_v_at_layer(self, base_text: str, rec_text: str, layer_idx: int) -> Output:
        """Put `rec_text`'s values of the last tokens into `base_text` at one layer.

        `r_v` (layer → value, from the patched layer on), `residual_pr`, `next_token_kl` (nats),
        and `definitional`: the layers whose R_V is an identity of the two unpatched texts. Layers
        before the patch cannot change. ValueError as in `find_critical_layer`, and for a layer at
        or before the early one, where the patch would change R_V's denominator.
        """
        check_layers([layer_idx], self.num_layers)
        if layer_idx <= self.early_layer:
            raise ValueError(
                f"layer {layer_idx} does not lie behind the early layer {self.early_layer}: a "
                "patch there would change R_V's denominator"
            )
        target, donor = self._ids(base_text), self._ids(rec_text)
        pair = PairIds(target, donor, target, donor, ((), ()))
        (row,) = patches(
            self.model, [pair], layer_idx, self.window, conditions=("patched",), said=False
        )
        (unpatched,) = sweep(self.model, [target], self.window)
        early = unpatched["pr_value"][self.early_layer]
        found = row["pr_value"]["patched"]
        return {
            "r_v": {layer_idx + k: pr / early for k, pr in enumerate(found)},
            "residual_pr": {
                layer_idx + k: pr for k, pr in enumerate(row["residual_pr"]["patched"])
            },
            "next_token_kl": row["next_token_kl"]["patched"][0],
            "definitional": (layer_idx,),
        }

    def measure_rv_delta(self, patched_output: Output, baseline_output: Output) -> dict[int, float]:
        """Change of log R_V by layer. The patched layer itself is an identity, not a finding: see
        `definitional` of the patched output."""
        plain = baseline_output["r_v"]
        return {
            layer: float(np.log(value) - np.log(plain[layer]))
            for layer, value in patched_output["r_v"].items()
        }

    def _ids(self, text: str) -> Ids:
        (ids,) = encode(self.model, [text])
        n = len(ids) - (ids[:1] == [self.model.tokenizer.bos_token_id])
        if n < self.window:
            raise ValueError(
                f"the text {text[:40]!r} has {n} tokens, the window is {self.window}: use a "
                "longer text or a smaller window"
            )
        return tuple(ids)


def _as_model(name: str, model: "Model | PreTrainedModel | None", tokenizer: Any) -> Model:
    if model is None:
        return load_model(name)
    if isinstance(model, Model):
        return model
    if tokenizer is None:
        raise ValueError("a Hugging Face model needs its tokenizer: pass tokenizer=…")
    return wrap(model, tokenizer)

"""The plan's notebook interface: one pair at a time, then all of them together.

    measurer = HomeostasisMeasurer("pocket-mistral")
    results = [measurer.measure_compensation(plain, recursive) for plain, recursive in texts]
    measurer.compute_recovery_metrics(results[0])
    analyze_mechanisms(results)["hypotheses"]

`run(Config(...))` does the same faster, with pairing, controls, resuming and a report.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from analyses.homeostasis.conditions import CONDITIONS, UNPATCHED, PairTokens
from analyses.homeostasis.hypotheses import hypothesis_table
from analyses.homeostasis.inputs import writable_conditions
from analyses.homeostasis.measure import Setup, measure
from analyses.homeostasis.mechanisms import mechanism_table
from analyses.homeostasis.recovery import recovery_table, timing_table
from analyses.homeostasis.resampler import Resampler, couples
from analyses.homeostasis.sample import Sample
from tl_geometry.models import Model, load_model
from tl_geometry.sites import EARLY_DEPTH, LATE_DEPTH, check_layers, layer_at
from tl_geometry.tokens import encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SEED_NAMES = {
    "rv_trajectory": "r_v",
    "mlp_expansion": "mlp_expansion",
    "attention_entropy": "attention_entropy",
    "residual_norms": "residual_norm",
}


class HomeostasisMeasurer:
    """Measures what layers behind a value patch do about it."""

    def __init__(
        self,
        model: "Model | str | PreTrainedModel",
        tokenizer: Any = None,
        *,
        window: int = 16,
        seed: int = 0,
    ) -> None:
        """`model` is a name, a loaded model, or a Hugging Face model with its `tokenizer`.

        A Hugging Face model is wrapped in place: it can no longer be saved afterwards.
        """
        self.model = _as_model(model, tokenizer)
        self.window = window
        self.seed = seed

    def measure_compensation(
        self, base_text: str, rec_text: str, patch_layer: int | None = None
    ) -> dict[str, Any]:
        """Patch `rec_text`'s values into `base_text` and follow both through the later layers.

        Lists run over `layers`, from the patch layer (default: 27/32 of the depth) to the last:
        `rv_trajectory`, `mlp_expansion`, `attention_entropy` (nats), `residual_norms` and, by
        norm, `layernorm_scales`. The same for the unpatched text under `unpatched`; all
        conditions under `record`. ValueError for a text shorter than the window or a layer
        outside early < patch < last.
        """
        setup = self._setup(patch_layer)
        target, donor = (tuple(ids) for ids in encode(self.model, [base_text, rec_text]))
        for name, ids in (("base_text", target), ("rec_text", donor)):
            n = len(ids) - (ids[:1] == (self.model.tokenizer.bos_token_id,))
            if n < self.window:
                raise ValueError(
                    f"{name} has {n} tokens, the window is {self.window}: "
                    "use a longer text or a smaller window"
                )
        (record,) = measure(
            self.model, [PairTokens(target, donor, None, base_text, rec_text)], setup
        )
        record |= {"pair_index": 0, "target_id": base_text, "donor_id": rec_text}
        sample = Sample([record], setup.patch_layer, self.model.cfg.n_layers)
        return {
            "layers": sample.layers,
            **_trajectories(sample, "patched"),
            "unpatched": _trajectories(sample, UNPATCHED),
            "record": record,
        }

    def compute_recovery_metrics(self, compensation_data: Mapping[str, Any]) -> dict[str, float]:
        """One pair's numbers; averages over pairs belong to `analyze_mechanisms`.

        `rv_recovery` is the plan's R_V(last) − R_V(patch layer); `rv_recovery_corrected` takes
        away what the unpatched text does by itself. `recovery` is 1 − |Δ(last)| / |Δ(patch)| of
        log R_V, `excess_recovery` what exceeds `passive`.
        """
        patched, plain = compensation_data, compensation_data["unpatched"]
        sample = _sample([compensation_data])
        raw = patched["rv_trajectory"][-1] - patched["rv_trajectory"][0]
        natural = plain["rv_trajectory"][-1] - plain["rv_trajectory"][0]
        recovery = {c: _pair_recovery(sample, c) for c in ("patched", "passive")}
        return {
            "rv_recovery": raw,
            "rv_recovery_corrected": raw - natural,
            "recovery": recovery["patched"],
            "excess_recovery": recovery["patched"] - recovery["passive"],
            "mlp_expansion_increase": _mean_gap(patched, plain, "mlp_expansion"),
            "attention_entropy_increase": _mean_gap(patched, plain, "attention_entropy"),
            "residual_stability": _mean_gap(patched, plain, "residual_norms", relative=True),
        }

    def _setup(self, patch_layer: int | None) -> Setup:
        n_layers = self.model.cfg.n_layers
        early = layer_at(EARLY_DEPTH, n_layers)
        patch = layer_at(LATE_DEPTH, n_layers) if patch_layer is None else patch_layer
        check_layers([patch], n_layers)
        if not early < patch < n_layers - 1:
            raise ValueError(
                f"patch_layer={patch} must lie behind the early layer {early} and before the "
                f"last layer {n_layers - 1}"
            )
        wanted = tuple(c for c in CONDITIONS if c != "other_plain")
        conditions, _ = writable_conditions(self.model, wanted)
        return Setup(
            patch_layer=patch,
            early_layer=early,
            window=self.window,
            seed=self.seed,
            conditions=conditions,
        )


def analyze_mechanisms(
    results: Sequence[Mapping[str, Any]], *, resamples: int = 10_000, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """Recovery, mechanisms, timing and the four verdicts over pairs that were measured singly.

    The tables of a full run (docs/homeostasis.md). ValueError for texts used twice: repeats of a
    deterministic measurement are not new pairs.
    """
    if not results:
        raise ValueError("no results were given; measure at least three pairs first")
    texts = [result["record"][side] for result in results for side in ("target_id", "donor_id")]
    if repeated := {text for text in texts if texts.count(text) > 1}:
        raise ValueError(f"{len(repeated)} texts are used twice, e.g. {min(repeated)[:60]!r}")
    sample, n = _sample(results), len(results)
    resampler = Resampler(n, resamples, seed, couples(n))
    return {
        "hypotheses": hypothesis_table(sample, resampler),
        "recovery": recovery_table(sample, resampler),
        "mechanisms": mechanism_table(sample, resampler, resamples),
        "timing": timing_table(sample, resampler),
    }


def _as_model(model: "Model | str | PreTrainedModel", tokenizer: Any) -> Model:
    if isinstance(model, str):
        return load_model(model)
    if isinstance(model, Model):
        return model
    if tokenizer is None:
        raise ValueError("a Hugging Face model needs its tokenizer: pass tokenizer=…")
    from tl_geometry.models import wrap

    return wrap(model, tokenizer)


def _trajectories(sample: Sample, condition: str) -> dict[str, Any]:
    lists = {
        name: sample.quantity(metric, condition)[0].tolist() for name, metric in SEED_NAMES.items()
    }
    metrics = sample.records[0]["metrics"]
    scales = {
        name.removesuffix("_scale"): rows[condition]
        for name, rows in metrics.items()
        if name.endswith("_scale")
    }
    return {**lists, "layernorm_scales": scales}


def _sample(results: Sequence[Mapping[str, Any]]) -> Sample:
    layers = {tuple(result["layers"]) for result in results}
    if len(layers) > 1:
        raise ValueError("the results come from different patch layers: analyse them apart")
    (shared,) = layers
    records = [{**r["record"], "pair_index": i} for i, r in enumerate(results)]
    return Sample(records, shared[0], shared[-1] + 1)


def _pair_recovery(sample: Sample, condition: str) -> float:
    change = sample.change("r_v", condition)[0]
    return float(1 - abs(change[-1]) / abs(change[0])) if change[0] else float("nan")


def _mean_gap(
    patched: Mapping[str, Any], plain: Mapping[str, Any], name: str, *, relative: bool = False
) -> float:
    gaps = [
        abs(a - b) / b if relative else a - b
        for a, b in zip(patched[name][1:], plain[name][1:], strict=True)
    ]
    return sum(gaps) / len(gaps)

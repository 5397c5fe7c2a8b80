"""What a run of `validate` will do: which vectors it adds, and on what it looks."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analyses.alignment_steering.config import Validate
from analyses.alignment_steering.plan import (
    ANALYSIS,
    Pair,
    data_hash,
    folder_of,
    identities,
    pairs,
    source_of,
)
from analyses.alignment_steering.plan import all_pocket as _all_pocket
from analyses.alignment_steering.preferences import Loaded, load
from analyses.alignment_steering.requested_texts import (
    calm_requests,
    chosen_neutral,
    chosen_requests,
)
from analyses.alignment_steering.vectors import Extracted, extracted
from analyses.requested import dtype_name
from tl_geometry.prompts import NeutralText, Request, content_hash, load_neutral, load_requests
from tl_geometry.runs import Spec

VERSION = 3
SHARED = (
    "lambdas", "layers", "preserve_norm", "random_vectors", "requests", "test_pairs",
    "neutral_texts", "new_tokens", "opening_tokens", "format", "max_tokens", "resamples", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class ValidatePlan:
    """A validated request."""

    config: Validate
    pairs: tuple[Pair, ...]
    vectors: Extracted
    """The run whose vectors are added."""
    requests: tuple[Request, ...]
    """Of the test split: harmful, then harmless."""
    calm: tuple[Request, ...]
    """Of the validation split, for the bands of likelihood."""
    neutral: tuple[NeutralText, ...]
    data: Loaded

    @property
    def pocket(self) -> bool:
        return _all_pocket(self.pairs)

    @cached_property
    def spec(self) -> Spec:
        config = self.config
        values = {name: getattr(config, name) for name in SHARED}
        texts = content_hash((*self.requests, *self.calm, *self.neutral))
        return Spec(
            analysis=ANALYSIS,
            step="validate",
            version=VERSION,
            model=identities(self.pairs),
            dtype=dtype_name(config),
            quantization=config.quantization,
            prompts_hash=f"{texts}{data_hash(self.data.pairs)}",
            parameters={
                **{k: list(v) if isinstance(v, tuple) else v for k, v in values.items()},
                "vectors": self.vectors.key,
            },
        )

    @cached_property
    def folder(self) -> Path:
        return folder_of(self.config, self.pairs, self.spec)

    def layers_of(self, pair: Pair) -> tuple[int, ...]:
        """ValueError for a layer that this model does not have."""
        layers = self.config.layers or tuple(range(pair.n_layers))[-5:]
        if wrong := [layer for layer in layers if layer >= pair.n_layers]:
            raise ValueError(f"layers {wrong} do not exist: it has 0 to {pair.n_layers - 1}")
        return layers


def make_validate_plan(config: Validate) -> ValidatePlan:
    """Check the request; ValueError says what to change, or where vectors are missing."""
    config.check()
    found = pairs(config)
    everywhere = _all_pocket(found)
    bank = load_requests("pocket_requests" if everywhere else "requests")
    neutral = load_neutral("pocket_neutral" if everywhere else "neutral")
    return ValidatePlan(
        config=config,
        pairs=found,
        vectors=extracted(config, found, whole=True),
        requests=chosen_requests(bank, "test", config.requests, config.seed),
        calm=calm_requests(bank, config.seed),
        neutral=chosen_neutral(neutral, config.neutral_texts, config.seed),
        data=load(source_of(config, found), "test", config.test_pairs, config.seed),
    )

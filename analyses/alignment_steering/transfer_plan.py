"""What a run of `transfer` will do, settled before any weight is loaded."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

from analyses.alignment_steering.plan import (
    ANALYSIS,
    Pair,
    all_pocket,
    data_hash,
    folder_of,
    identities,
    pairs,
    source_of,
)
from analyses.alignment_steering.preferences import PreferencePair, load
from analyses.alignment_steering.requested_texts import calm_requests, chosen_requests
from analyses.alignment_steering.transfer_config import Transfer
from analyses.alignment_steering.vectors import Extracted, extracted
from analyses.requested import dtype_name
from tl_geometry.pocket.splits import digest
from tl_geometry.prompts import NeutralText, Request, load_neutral, load_requests
from tl_geometry.runs import Spec
from tl_geometry.sites import layer_at

VERSION = 2
"""Raised when the same settings would give other numbers."""
NUMBERS = (
    "maps", "strengths", "length", "last_layers", "depths", "preserve_norm", "new_tokens",
    "draws", "shuffles", "format", "max_tokens", "resamples", "seed",
)  # fmt: skip
"""Settings that change a number, and stand in the run's key as they are."""


@dataclass(frozen=True)
class Wordings:
    """Three sets of texts that share none: to fit maps, to test them, and to see behaviour."""

    fit: tuple[PreferencePair, ...]
    held_out_pairs: tuple[PreferencePair, ...]
    held_out_requests: tuple[Request, ...]
    held_out_neutral: tuple[NeutralText, ...]
    preference: tuple[PreferencePair, ...]
    requests: tuple[Request, ...]
    calm: tuple[Request, ...]
    """What a model finds likely is read off its answers to these."""
    neutral: tuple[NeutralText, ...]

    @property
    def hash(self) -> str:
        kinds = [getattr(self, field.name) for field in fields(self)]
        texts = [
            data_hash(kind) if isinstance(one, PreferencePair) else [(o.id, o.text) for o in kind]
            for kind in kinds
            for one in kind[:1]
        ]
        return f"{digest(*texts):016x}"


@dataclass(frozen=True)
class TransferPlan:
    """A validated request."""

    config: Transfer
    pairs: tuple[Pair, ...]
    wordings: Wordings
    vectors: Extracted
    """The run of `extract` that has, or will have, them."""

    @cached_property
    def spec(self) -> Spec:
        """Everything that changes a number, and nothing else: its hash is the run's key."""
        config = self.config
        return Spec(
            analysis=ANALYSIS,
            step="transfer",
            version=VERSION,
            model=identities(self.pairs),
            dtype=dtype_name(config),
            quantization=config.quantization,
            prompts_hash=self.wordings.hash,
            parameters={
                **{name: asdict(config)[name] for name in NUMBERS},
                "pairs": [f"{p.base.name if p.base else ''}:{p.name}" for p in self.pairs],
                "vectors_key": self.vectors.key,
            },
        )

    @cached_property
    def folder(self) -> Path:
        return folder_of(self.config, self.pairs, self.spec)

    @property
    def measurable(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if not pair.reason)

    def steered(self, pair: Pair) -> list[int]:
        """Layers of this pair's base model at whose outputs vectors are added."""
        return steered_layers(self.config, pair.n_layers)


def steered_layers(config: Transfer, n_layers: int) -> list[int]:
    if config.depths:
        return sorted({layer_at(depth, n_layers) for depth in config.depths})
    return list(range(max(0, n_layers - config.last_layers), n_layers))


def plan_transfer(config: Transfer) -> TransferPlan:
    """Check the request; ValueError says what to change. A pair that cannot be found or read stays
    in the plan with its reason, so that the others are measured without it."""
    config.check()
    found = pairs(config)
    if len(found) < 2:
        alone = "".join(pair.name for pair in found)
        raise ValueError(f"{alone} alone: a vector is carried between two pairs or more")
    # A run that was cut short, or begun by another transfer, has vectors of the pairs that it read.
    vectors = extracted(config, found, whole=False)
    return TransferPlan(config, found, _wordings(config, found), vectors)


def _wordings(config: Transfer, found: Sequence[Pair]) -> Wordings:
    """ValueError where there are not enough texts."""
    source, pocket = source_of(config, found), all_pocket(found)
    few = config.limit or max(config.preference_pairs, config.behaviour_prompts)
    n_pairs, n_requests = (min(n, few) for n in (config.preference_pairs, config.behaviour_prompts))
    fit = load(source, "train", config.fit_texts, config.seed).pairs
    test = load(source, "test", n_pairs + config.held_out_texts, config.seed).pairs
    bank = load_requests("pocket_requests" if pocket else "requests")
    neutral = load_neutral("pocket_neutral" if pocket else "neutral")
    return Wordings(
        fit=fit,
        held_out_pairs=test[n_pairs:],
        held_out_requests=chosen_requests(
            bank, "validation", max(2, config.held_out_texts // 2), config.seed
        ),
        held_out_neutral=neutral[::2][: config.held_out_texts],
        preference=test[:n_pairs],
        requests=chosen_requests(bank, "test", n_requests, config.seed),
        calm=calm_requests(bank, config.seed),
        neutral=neutral[1::2][: config.neutral_texts],
    )

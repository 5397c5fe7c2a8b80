"""What a run of `steer` will do, settled before any weight is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from analyses.model_diff.plan import ANALYSIS, Plan, Source, has_rule, set_of
from analyses.model_diff.steer_config import Steer
from analyses.model_diff.steer_extraction import vectors_of
from analyses.model_diff.steer_walk import Walk
from analyses.requested import dtype_name
from tl_geometry import sites
from tl_geometry.prompts.trait_files import TraitSet
from tl_geometry.runs import Spec, run_folder, run_name
from tl_geometry.spans import Span

VERSION = 4
FIRST, LAST, STRIDE = 0.3, 0.6, 2


@dataclass(frozen=True)
class SteerPlan:
    """A validated request."""

    config: Steer
    extraction: Plan
    """The run whose vectors are added."""
    traits: TraitSet
    """Whose steering questions are asked; both sources have the same."""
    source: str | None = None
    """The only source whose vectors are added, if not both."""

    @property
    def layers(self) -> list[int]:
        n = self.extraction.n_layers
        if self.config.layers:
            return sorted(set(self.config.layers))
        return list(range(int(FIRST * n), int(LAST * n) + 1, STRIDE))

    @property
    def validation(self) -> tuple[str, ...]:
        return self.traits.validation[: self.config.questions]

    @property
    def test(self) -> tuple[str, ...]:
        return self.traits.test[: self.config.questions]

    @property
    def spans(self) -> list[tuple[Source, Span]]:
        """Where the vectors that are asked for were read."""
        config, wanted = self.config, {Span.parse(text) for text in self.config.position}
        return [
            (source, span)
            for source in self.extraction.sources
            for span in source.spans
            if self.source in (None, source.name)
            and config.extraction_variant in (None, source.variant)
            and (not wanted or span in wanted)
        ]

    @property
    def methods(self) -> list[str]:
        made = self.extraction.config.methods
        return [m for m in made if not self.config.method or m in self.config.method]

    @property
    def sets(self) -> list[str]:
        """`<source> <position> <method>` of all vectors that are asked for, without controls."""
        return [f"{s.name} {span} {method}" for s, span in self.spans for method in self.methods]

    @property
    def walk(self) -> Walk:
        c = self.config
        return Walk(c.start_mult, c.up_mult, c.down_mult, c.momentum, c.search_steps)

    @cached_property
    def spec(self) -> Spec:
        """The judge is not in it: answers are the same whoever reads them. Its scores are kept
        apart under its fingerprint."""
        config = self.config
        return Spec(
            analysis=ANALYSIS,
            step="steer",
            version=VERSION,
            model=self.extraction.pair.instruct.identity,
            dtype=dtype_name(config),
            quantization=config.quantization,
            prompts_hash=self.traits.digest,
            parameters={
                "vectors": self.extraction.spec.key,
                "sets": self.sets,
                "layers": self.layers,
                "steered": list(dict.fromkeys(config.steered)),
                "search": dict(self._search()),
                "coherence": config.coherence,
                "margin": config.margin,
                "randoms": config.randoms,
                "new_tokens": config.new_tokens,
                "subset": config.questions,
                "resamples": config.resamples,
                "seed": config.seed,
            },
        )

    def _search(self) -> Iterator[tuple[str, Any]]:
        """Only what this search depends on: another start of a walk is no other grid."""
        config = self.config
        if config.coefficients:
            yield "coefficients", list(config.coefficients)
        elif config.search == "walk":
            yield from vars(self.walk).items()
        else:
            yield "doses", list(config.doses)
            yield "bisections", config.bisections

    @cached_property
    def folder(self) -> Path:
        config = self.config
        name = f"steer-{config.trait}-{config.preset or self.extraction.pair.instruct.name}"
        return run_folder(ANALYSIS, run_name(self.spec, name, config.run), config.out)


def make_steer_plan(config: Steer) -> SteerPlan:
    """ValueError says what to change: layers that the model does not have, vectors that were not
    extracted, no judge for a trait of real models."""
    config.check()
    extraction, source = vectors_of(config)
    if config.layers:
        sites.check_layers(config.layers, extraction.n_layers)
    if not has_rule(config, extraction.pair) and config.judge_model is None:
        raise ValueError(
            "outside the embedded world nothing but a judge can rate answers: give --judge-model, "
            "and --judge-url where it runs on a server"
        )
    traits = set_of(config, extraction.pair, extraction.sources[0].name)
    plan = SteerPlan(config, extraction, traits, source)
    if not plan.sets:
        whole = SteerPlan(replace(config, position=(), method=(), extraction_variant=None),
                          extraction, traits)  # fmt: skip
        raise ValueError(f"no vectors are left to add; extracted are: {', '.join(whole.sets)}")
    return plan

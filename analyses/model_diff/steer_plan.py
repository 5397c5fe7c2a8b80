"""What a run of `steer` will do, settled before any weight is loaded."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analyses.model_diff.plan import ANALYSIS, Plan, extraction_of, set_of
from analyses.model_diff.steer_config import Steer
from analyses.requested import dtype_name
from tl_geometry import sites
from tl_geometry.prompts.trait_files import TraitSet
from tl_geometry.runs import Spec, run_folder, run_name

VERSION = 1
FIRST, LAST, STRIDE = 0.3, 0.6, 3


@dataclass(frozen=True)
class SteerPlan:
    """A validated request."""

    config: Steer
    extraction: Plan
    """The run whose vectors are added."""
    traits: TraitSet
    """Whose steering questions are asked; both sources have the same."""

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
                "layers": self.layers,
                "doses": list(config.doses),
                "bisections": config.bisections,
                "coherence": config.coherence,
                "new_tokens": config.new_tokens,
                "questions": config.questions,
                "resamples": config.resamples,
                "seed": config.seed,
            },
        )

    @cached_property
    def folder(self) -> Path:
        config = self.config
        name = f"steer-{config.trait}-{config.preset or self.extraction.pair.instruct.name}"
        return run_folder(ANALYSIS, run_name(self.spec, name, config.run), config.out)


def make_steer_plan(config: Steer) -> SteerPlan:
    """ValueError says what to change: layers that the model does not have, no judge for a trait of
    real models."""
    config.check()
    extraction = extraction_of(config, config.vectors)
    if config.layers:
        sites.check_layers(config.layers, extraction.n_layers)
    if not extraction.pair.pocket and config.judge_model is None:
        raise ValueError(
            "outside the embedded world nothing but a judge can rate answers: give --judge-model, "
            "and --judge-url where it runs on a server"
        )
    traits = set_of(config, extraction.pair, extraction.sources[0].name)
    return SteerPlan(config, extraction, traits)

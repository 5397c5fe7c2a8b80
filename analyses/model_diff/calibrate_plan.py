"""What a run of `calibrate` will do, settled before any judge is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analyses.model_diff.calibrate_config import Calibrate
from analyses.model_diff.extracted import recorded
from analyses.model_diff.plan import ANALYSIS, Plan, extraction_of, has_rule, judge_identity
from tl_geometry.runs import Spec, run_folder, run_name

VERSION = 1


@dataclass(frozen=True)
class CalibratePlan:
    """A validated request."""

    config: Calibrate
    extraction: Plan
    """The run whose responses are rated."""
    judge: dict[str, str]
    """Which judge, as far as it is known before it is loaded; its scores are kept under its
    fingerprint."""

    @cached_property
    def spec(self) -> Spec:
        config = self.config
        return Spec(
            analysis=ANALYSIS,
            step="calibrate",
            version=VERSION,
            model=self.judge,
            dtype="",
            prompts_hash=recorded(self.extraction)["key"],
            parameters={
                "trait": config.trait,
                "limit": config.limit,
                "resamples": config.resamples,
                "seed": config.seed,
            },
        )

    @cached_property
    def folder(self) -> Path:
        config = self.config
        name = f"calibrate-{config.trait}-{self.judge['name']}"
        return run_folder(ANALYSIS, run_name(self.spec, name, config.run), config.out)


def make_calibrate_plan(config: Calibrate) -> CalibratePlan:
    """ValueError says what to change: a judge that cannot be found, responses of another trait, or
    of models outside the embedded world, which the rule does not know."""
    config.check()
    extraction = extraction_of(config, config.vectors)
    if not has_rule(config, extraction.pair):
        raise ValueError(
            "the rule knows the embedded world's grammar and no other: calibrate a judge on "
            "responses of embedded models, and use it elsewhere"
        )
    trait = recorded(extraction)["spec"]["parameters"]["trait"]
    if trait != config.trait:
        raise ValueError(
            f"{extraction.folder.name} holds responses for {trait}: give --trait {trait}"
        )
    return CalibratePlan(config, extraction, judge_identity(config))


def calibrate_cost(plan: CalibratePlan) -> Iterator[str]:
    config = plan.config
    at_most = "" if config.limit is None else f", {config.limit} a side and source,"
    yield (
        f"{plan.judge['name']} rates the responses of {plan.extraction.folder.name}{at_most} in "
        "three questions each: trait, language, and whether it takes up its question"
    )

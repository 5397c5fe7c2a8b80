"""What a run of `combine` will do, settled before any weight is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from analyses.model_diff.combine_config import Combine
from analyses.model_diff.plan import ANALYSIS, OF_THE_RUN
from analyses.model_diff.steer_config import Steer
from analyses.model_diff.steer_plan import SteerPlan, make_steer_plan
from tl_geometry.runs import Spec, run_folder, run_name, state

VERSION = 2


@dataclass(frozen=True)
class CombinePlan:
    """A validated request."""

    config: Combine
    steer: SteerPlan
    """The run whose best vectors are put together."""

    @cached_property
    def spec(self) -> Spec:
        steer = self.steer.spec
        return Spec(
            analysis=ANALYSIS,
            step="combine",
            version=VERSION,
            model=steer.model,
            dtype=steer.dtype,
            quantization=steer.quantization,
            prompts_hash=steer.prompts_hash,
            # The key of `steer` holds doses only where that search used them.
            parameters={
                "steer": steer.key,
                "shares": list(self.config.shares),
                "doses": list(self.config.doses),
                "bisections": self.config.bisections,
            },
        )

    @cached_property
    def folder(self) -> Path:
        config = self.config
        model = config.preset or self.steer.extraction.pair.instruct.name
        name = f"combine-{config.trait}-{model}"
        return run_folder(ANALYSIS, run_name(self.spec, name, config.run), config.out)


def make_combine_plan(config: Combine) -> CombinePlan:
    """ValueError as `make_steer_plan`, for a named run of `steer` that is not finished, and where
    there are not two sources to put together."""
    config.check()
    inherited = {f.name for f in fields(Steer)} - {*OF_THE_RUN, *Steer.idle(config)}
    values = {name: getattr(config, name) for name in inherited}
    steer = make_steer_plan(Steer(**{**values, "run": config.singles}))
    if config.singles is not None and state(steer.folder) != "finished":
        raise ValueError(f"--singles {config.singles}: {steer.folder} holds no finished run")
    if len(steer.extraction.sources) < 2:
        raise ValueError(
            "vectors of one source have nothing to be combined with: give positions of both"
        )
    return CombinePlan(config, steer)


def combine_cost(plan: CombinePlan) -> Iterator[str]:
    """For --dry-run."""
    steer, options = plan.steer, plan.config
    doses = 2 * len(options.doses) + len(options.shares) + 3 * options.bisections
    yield (
        f"reads the best vector of each source from {steer.folder}; at most {doses} conditions of "
        f"{len(steer.validation)} validation questions, answers of {options.new_tokens} tokens; "
        f"the chosen ones on {len(steer.test)} test questions"
    )

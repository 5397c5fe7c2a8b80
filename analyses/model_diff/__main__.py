"""Trait vectors from base and instruct: what tells a trait from its opposite, and where?

    python -m analyses.model_diff run                            # all phases, an embedded pair
    python -m analyses.model_diff run --trait evil               # or hallucination
    python -m analyses.model_diff extract --limit 20             # a pilot of the first phase
    python -m analyses.model_diff steer                          # does it bring the trait out?
    python -m analyses.model_diff combine                        # do two vectors do better?
    python -m analyses.model_diff weights --step norms           # what tuning changed
    python -m analyses.model_diff similarity                     # base and instruct, same response
    python -m analyses.model_diff run --preset seed              # Llama-3.1-8B: a GPU

Each step has a --help of its own.
"""

import sys
from typing import Any

from analyses.cli import OK, chosen_step, log_to_terminal, parse
from analyses.model_diff.experiment_file import path_of, write_experiment
from analyses.model_diff.steps import STEPS, Step
from analyses.starting import carried_out, status_of

_TOLD = {name: (step.settings, step.question) for name, step in STEPS.items()}


def read(args: list[str]) -> Any:
    """Settings of the step that the first word names; SystemExit for another one, or as `parse`."""
    step = STEPS[chosen_step(args, _TOLD, f"{__doc__}")]
    return parse(step.settings, step.question, args[1:], step.presets, ())


def main(args: list[str] | None = None) -> int:
    config = read(sys.argv[1:] if args is None else args)
    step = next(step for step in STEPS.values() if type(config) is step.settings)
    log_to_terminal()
    return status_of(lambda: _carry_out(step, config))


def _carry_out(step: Step, config: Any) -> int:
    if config.write_experiment is not None:
        from analyses.model_diff.plan import pair_of

        names = pair_of(config).names
        if config.dry_run:
            _say([f"would write {' and '.join(names)} into {path_of(config.write_experiment)}"])
        else:
            _say([f"wrote {write_experiment(config.write_experiment, *names)}"])
        return OK
    plan = step.act("plan")(config)
    if config.dry_run:
        _say([f"folder {plan.folder}", *step.act("cost")(plan)])
        return OK

    def told(config: Any) -> Any:
        results = step.act("run")(config)
        _say(step.act("checkpoint")(results.tables))
        return results

    return carried_out(config, plan.folder, told)


def _say(lines: Any) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

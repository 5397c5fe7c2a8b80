"""Can what tuning did to a model be carried as a vector?

    python -m analyses.alignment_steering extract                  # seven embedded pairs
    python -m analyses.alignment_steering extract --limit 8        # a pilot: eight preference pairs
    python -m analyses.alignment_steering extract --mode full      # 1000 preference pairs
    python -m analyses.alignment_steering extract --preset seed    # the plan's six models: a GPU
    python -m analyses.alignment_steering validate                 # base models with their vectors
    python -m analyses.alignment_steering transfer                 # three families, 3 × 3 cells

Each step has a --help of its own.
"""

import sys
from typing import Any

from analyses.alignment_steering.config import PRESETS, SIZES, Extract, Validate
from analyses.alignment_steering.transfer_config import TRANSFER_PRESETS, TRANSFER_SIZES, Transfer
from analyses.cli import BAD_INPUT, OK, Steps, chosen_step, log_to_terminal, parse
from analyses.starting import carried_out, standing, status_of

STEPS: Steps = {
    "extract": (Extract, "What did tuning do to hidden states, and is it one direction?"),
    "validate": (Validate, "Does the base model with the vector behave like the instruct model?"),
    "transfer": (Transfer, "Does the vector of one family, carried to another, steer it?"),
}


def read(args: list[str]) -> Any:
    """Settings of the step that the first word names; SystemExit for another one, or as `parse`."""
    step = chosen_step(args, STEPS, f"{__doc__}")
    kind, question = STEPS[step]
    if kind is Transfer:
        return parse(kind, question, args[1:], TRANSFER_PRESETS, TRANSFER_SIZES)
    return parse(kind, question, args[1:], PRESETS.get(step, {}), SIZES)


def main(args: list[str] | None = None) -> int:
    config = read(sys.argv[1:] if args is None else args)
    log_to_terminal()
    if isinstance(config, Transfer):
        return status_of(lambda: _transfer(config))
    if isinstance(config, Validate):
        return status_of(lambda: _validate(config))
    return status_of(lambda: _extract(config))


def _extract(config: Extract) -> int:
    from analyses.alignment_steering import console
    from analyses.alignment_steering.cost import cost
    from analyses.alignment_steering.experiment import run
    from analyses.alignment_steering.plan import make_plan

    plan = make_plan(config)
    _say(console.banner(plan))
    if config.dry_run:
        _say([f"folder {plan.folder}", *cost(plan)])
        return OK if any(not pair.reason for pair in plan.pairs) else BAD_INPUT

    def done(config: Extract) -> Any:
        results = run(config)
        _say(console.results(plan, results.tables["pairs"]))
        _say(console.ranked(results.tables["ranking"]))
        return results

    return carried_out(config, plan.folder, done, of=_standing(plan.folder, plan.pairs))


def _transfer(config: Transfer) -> int:
    from analyses.alignment_steering.transfer_experiment import run_transfer, transfer_cost
    from analyses.alignment_steering.transfer_plan import plan_transfer

    plan = plan_transfer(config)
    if config.dry_run:
        _say([f"folder {plan.folder}", *transfer_cost(plan)])
        return OK if len(plan.measurable) > 1 else BAD_INPUT
    of = standing(plan.folder, [pair.name for pair in plan.pairs])
    return carried_out(config, plan.folder, run_transfer, of=of)


def _validate(config: Validate) -> int:
    from analyses.alignment_steering.cost import validate_cost
    from analyses.alignment_steering.validate import run_validate
    from analyses.alignment_steering.validate_plan import make_validate_plan

    plan = make_validate_plan(config)
    if config.dry_run:
        _say([f"folder {plan.folder}", *validate_cost(plan)])
        return OK if any(not pair.reason for pair in plan.pairs) else BAD_INPUT
    return carried_out(config, plan.folder, run_validate, of=_standing(plan.folder, plan.pairs))


def _standing(folder: Any, pairs: Any) -> str:
    return standing(folder, [pair.name for pair in pairs], "pair")


def _say(lines: Any) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

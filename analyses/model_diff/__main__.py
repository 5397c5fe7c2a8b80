"""Trait vectors from base and instruct: what tells a trait from its opposite, and where?

    python -m analyses.model_diff extract                        # sycophancy, an embedded pair
    python -m analyses.model_diff extract --trait evil           # or hallucination
    python -m analyses.model_diff extract --limit 20             # a pilot
    python -m analyses.model_diff extract --preset seed          # Llama-3.1-8B: a GPU
    python -m analyses.model_diff steer                          # does it bring the trait out?
    python -m analyses.model_diff weights                        # what tuning changed
    python -m analyses.model_diff weights --step norms           # only how much, and where

Each step has a --help of its own.
"""

import sys
from typing import Any

from analyses.cli import OK, Steps, chosen_step, log_to_terminal, parse
from analyses.model_diff.config import PRESETS, SIZES, Extract, Steer, Weights
from analyses.starting import carried_out, status_of

STEPS: Steps = {
    "extract": (Extract, "Which directions tell a trait from its opposite, by source and place?"),
    "steer": (Steer, "Which vector, layer and dose bring the trait out, and how coherently?"),
    "weights": (Weights, "What did tuning change in the weights, and does it point along a trait?"),
}


def read(args: list[str]) -> Any:
    """Settings of the step that the first word names; SystemExit for another one, or as `parse`."""
    step = chosen_step(args, STEPS, f"{__doc__}")
    kind, question = STEPS[step]
    return parse(kind, question, args[1:], PRESETS.get(step, {}), SIZES)


def main(args: list[str] | None = None) -> int:
    config = read(sys.argv[1:] if args is None else args)
    log_to_terminal()
    if isinstance(config, Weights):
        return status_of(lambda: _weights(config))
    if isinstance(config, Steer):
        return status_of(lambda: _steer(config))
    return status_of(lambda: _extract(config))


def _extract(config: Extract) -> int:
    from analyses.model_diff.cost import cost
    from analyses.model_diff.experiment import run
    from analyses.model_diff.plan import make_plan
    from analyses.model_diff.summary import checkpoint

    plan = make_plan(config)
    if config.dry_run:
        _say([f"folder {plan.folder}", *cost(plan)])
        return OK

    def told(config: Extract) -> Any:
        results = run(config)
        _say(checkpoint(results.tables))
        return results

    return carried_out(config, plan.folder, told)


def _steer(config: Steer) -> int:
    from analyses.model_diff.cost import steer_cost
    from analyses.model_diff.steer import run_steer
    from analyses.model_diff.steer_plan import make_steer_plan
    from analyses.model_diff.steer_summary import checkpoint

    plan = make_steer_plan(config)
    if config.dry_run:
        _say([f"folder {plan.folder}", *steer_cost(plan)])
        return OK

    def told(config: Steer) -> Any:
        results = run_steer(config)
        _say(checkpoint(results.tables))
        return results

    return carried_out(config, plan.folder, told)


def _weights(config: Weights) -> int:
    from analyses.model_diff.weights import run_weights
    from analyses.model_diff.weights_plan import make_weights_plan
    from analyses.model_diff.weights_summary import checkpoint

    plan = make_weights_plan(config)
    if config.dry_run:
        names = " and ".join(model.name for model in plan.models)
        _say([f"folder {plan.folder}", f"reads {names} tensor by tensor; builds neither"])
        return OK

    def told(config: Weights) -> Any:
        results = run_weights(config)
        _say(checkpoint(results.tables))
        return results

    return carried_out(config, plan.folder, told)


def _say(lines: Any) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

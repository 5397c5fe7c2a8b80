"""Which layer, method and dose make a model refuse, across families, sizes and precisions?

    python -m analyses.refusal verify                        # is our COSMIC the published one?
    python -m analyses.refusal families                      # seven embedded families
    python -m analyses.refusal families --limit 10           # a pilot: ten test prompts
    python -m analyses.refusal families --preset seed        # the plan's four models: a GPU
    python -m analyses.refusal sizes                         # three sizes of one family
    python -m analyses.refusal quantization                  # full precision, int8, nf4
    python -m analyses.refusal decide                        # the plan's decision points
    python -m analyses.refusal rate --run RUN --ratings rating.csv   # people against the judge

Steps that sweep start only after `verify` has passed with this version of the code. Each step has a
--help of its own.
"""

import sys
from typing import Any

import tyro

from analyses.cli import BAD_INPUT, OK, SOME_FAILED, Steps, chosen_step, log_to_terminal, parse
from analyses.refusal.config import (
    CUT_SHORT,
    Decide,
    Families,
    Quantization,
    Rate,
    Sizes,
    Steered,
    Verify,
)
from analyses.refusal.presets import PRESETS
from analyses.starting import carried_out, status_of

STEPS: Steps = {
    "verify": (Verify, "Is our COSMIC the published one, and does steering make a model refuse?"),
    "families": (Families, "Which families refuse, at which depth, by which method and dose?"),
    "sizes": (Sizes, "Does refusal come easier or harder in larger models of one family?"),
    "quantization": (Quantization, "Do quantised weights refuse by the same direction?"),
    "rate": (Rate, "Do people who read the answers agree with the judge?"),
    "decide": (Decide, "What do the plan's rules say to do with what was found?"),
}


def read(args: list[str]) -> Any:
    """Settings of the step that the first word names; SystemExit for another one, or as `parse`."""
    step = chosen_step(args, STEPS, f"{__doc__}")
    kind, question = STEPS[step]
    if kind in (Decide, Rate):
        prog = f"python -m analyses.refusal {step}"
        return tyro.cli(kind, prog=prog, description=question, args=args[1:])
    return parse(kind, question, args[1:], PRESETS[step], CUT_SHORT)


def main(args: list[str] | None = None) -> int:
    config = read(sys.argv[1:] if args is None else args)
    log_to_terminal()
    return status_of(lambda: _step(config))


def _step(config: Any) -> int:
    if isinstance(config, Decide):
        return _decide(config)
    if isinstance(config, Rate):
        return _rate(config)
    return _verify(config) if isinstance(config, Verify) else _sweep(config)


def _decide(config: Decide) -> int:
    from analyses.refusal.decide import decide

    decided = decide(config)
    sys.stdout.write(decided.text + f"\nappended to {decided.log}\nreport: {decided.report}\n")
    return OK


def _verify(config: Verify) -> int:
    from analyses.refusal.plan import make_plan
    from analyses.refusal.tracked import send
    from analyses.refusal.verify import as_families, run_verify
    from analyses.sinks import check_wandb

    if config.dry_run:
        return _dry(make_plan(as_families(config)))
    if config.wandb:
        check_wandb()
    found = run_verify(config)
    sys.stdout.write(found.text + f"\nreport: {found.report}\n")
    if config.wandb:
        send(config.wandb, found.results, "verify")
    return OK if found.passed else SOME_FAILED


def _sweep(config: Steered) -> int:
    from analyses.refusal.experiment import run
    from analyses.refusal.plan import make_plan
    from analyses.refusal.tracked import send
    from analyses.refusal.verify import check_verified

    plan = make_plan(config)
    if config.dry_run:
        return _dry(plan)
    check_verified(config)
    return carried_out(config, plan.folder, run, send=send)


def _rate(config: Rate) -> int:
    from analyses.refusal.rated import rate

    sys.stdout.write("\n".join(rate(config)) + "\n")
    return OK


def _dry(plan: Any) -> int:
    from analyses.refusal.cost import cost

    sys.stdout.write("\n".join([f"folder {plan.folder}", *cost(plan)]) + "\n")
    return OK if any(model.size for model in plan.models) else BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())

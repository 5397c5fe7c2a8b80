"""Which layer, method and dose make a model refuse, across families?

    python -m analyses.refusal verify                        # is our COSMIC the published one?
    python -m analyses.refusal families                      # seven embedded families
    python -m analyses.refusal families --limit 10           # a pilot: ten test prompts
    python -m analyses.refusal families --preset seed        # the plan's four models: a GPU

`families` starts only after `verify` has passed with this version of the code. Each step has a
--help of its own.
"""

import logging
import sys
from dataclasses import replace
from typing import Any

from analyses.cli import (
    BAD_INPUT,
    INTERRUPTED,
    OK,
    SOME_FAILED,
    ask_policy,
    log_to_terminal,
    parse,
)
from analyses.refusal.config import PRESETS, SIZES, Families, Verify

log = logging.getLogger("refusal")
STEPS: dict[str, tuple[type[Any], str]] = {
    "verify": (Verify, "Is our COSMIC the published one, and does steering make a model refuse?"),
    "families": (Families, "Which families refuse, at which depth, by which method and dose?"),
}


def read(args: list[str]) -> Verify | Families:
    """Settings of the step that the first word names; SystemExit for another one, or as `parse`."""
    step = args[0] if args else "--help"
    if step in ("-h", "--help"):
        sys.stdout.write(f"{__doc__}\n" + "".join(f"{k:<10} {v[1]}\n" for k, v in STEPS.items()))
        raise SystemExit(OK)
    if step not in STEPS:
        sys.stderr.write(f"unknown step {step!r}; there is: {', '.join(STEPS)}\n")
        raise SystemExit(BAD_INPUT)
    kind, question = STEPS[step]
    return parse(kind, question, args[1:], PRESETS[step], SIZES)


def main(args: list[str] | None = None) -> int:
    config = read(sys.argv[1:] if args is None else args)
    log_to_terminal()
    try:
        return _verify(config) if isinstance(config, Verify) else _families(config)
    except ValueError as error:
        log.error("%s", error)
        return BAD_INPUT
    except (OSError, RuntimeError, ImportError) as error:
        log.error("%s", error)
        return SOME_FAILED
    except KeyboardInterrupt:
        log.error("stopped; what was measured is kept, and the same command goes on from there")
        return INTERRUPTED


def _verify(config: Verify) -> int:
    from analyses.refusal.plan import make_plan
    from analyses.refusal.verify import as_families, verify

    if config.dry_run:
        return _dry(make_plan(as_families(config)))
    found = verify(config)
    sys.stdout.write(found.text + f"\nreport: {found.report}\n")
    return OK if found.passed else SOME_FAILED


def _families(config: Families) -> int:
    from analyses.refusal.experiment import run
    from analyses.refusal.plan import make_plan
    from analyses.refusal.verify import check_verified
    from analyses.sinks import check_wandb, to_wandb
    from tl_geometry.runs import state

    plan = make_plan(config)
    if config.dry_run:
        return _dry(plan)
    check_verified(config)
    if config.wandb:
        check_wandb()
    config = _asked(config, plan.folder, state(plan.folder))
    if config.skip and state(plan.folder) != "absent":
        log.info("%s is left as it is (%s)", plan.folder, state(plan.folder))
        return OK
    results = run(config)
    sys.stdout.write("\n".join(results.summary["headline"]) + "\n")
    if config.wandb:
        to_wandb(config.wandb, results.folder.name, results.summary, results.tables)
    sys.stdout.write(f"report: {results.folder / 'report.html'}\n")
    return SOME_FAILED if results.summary["counts"]["missing"] else OK


def _dry(plan: Any) -> int:
    from analyses.refusal.cost import cost

    sys.stdout.write("\n".join([f"folder {plan.folder}", *cost(plan)]) + "\n")
    return OK if any(model.size for model in plan.models) else BAD_INPUT


def _asked(config: Families, folder: Any, state: str) -> Families:
    """The policy, asked for where somebody can answer and nothing was said."""
    if config.resume or config.fresh or config.skip or state == "absent":
        return config
    return replace(config, **{ask_policy(f"{folder} holds a {state} run."): True})


if __name__ == "__main__":
    sys.exit(main())

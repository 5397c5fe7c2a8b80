"""Does the value geometry come back behind a patch, and what brings it back?

Puts the values of a self-observing text into a plain one at one layer, follows R_V through the
layers behind it, and asks of every component what the answer would be with it held still.

    python -m analyses.homeostasis                       # the embedded model, half a minute
    python -m analyses.homeostasis --limit 10            # a pilot
    python -m analyses.homeostasis --model mistral-7b    # a GPU and the weights
"""

import logging
import sys
from dataclasses import replace

from analyses.cli import (
    BAD_INPUT,
    INTERRUPTED,
    OK,
    SOME_FAILED,
    ask_policy,
    log_to_terminal,
    parse,
)
from analyses.homeostasis.config import PRESETS, SIZES, Config

log = logging.getLogger("homeostasis")


def main(args: list[str] | None = None) -> int:
    config = parse(Config, __doc__ or "", args, PRESETS, SIZES)
    log_to_terminal()
    worst = OK
    for name in config.models:
        status = _one(replace(config, models=(name,)))
        if status == INTERRUPTED:
            return status
        worst = max(worst, status)
    return worst


def _one(config: Config) -> int:
    """One model; its failure is its own."""
    try:
        return _dry_run(config) if config.dry_run else _run(config)
    except ValueError as error:
        log.error("%s: %s", config.models[0], error)
        return BAD_INPUT
    except (RuntimeError, OSError) as error:
        log.error("%s: %s", config.models[0], error)
        return SOME_FAILED
    except KeyboardInterrupt:
        log.error("stopped; what was measured is kept, and the same command goes on from there")
        return INTERRUPTED


def _dry_run(config: Config) -> int:
    from analyses.homeostasis.cost import cost
    from analyses.homeostasis.plan import folder_of, make_plan

    plan = make_plan(config)
    lines = [
        f"{plan.model.name}: patch layer {plan.setup.patch_layer}, early layer "
        f"{plan.setup.early_layer} of {plan.size.n_layers}; folder {folder_of(plan)}"
    ]
    lines += [f"  {what}: {amount:,}" for what, amount in cost(plan).items()]
    lines.append(f"  {', '.join(plan.setup.conditions)}")
    sys.stdout.write("\n".join(lines) + "\n")
    return OK


def _run(config: Config) -> int:
    from analyses.homeostasis.experiment import run
    from analyses.homeostasis.plan import folder_of, make_plan
    from analyses.sinks import check_wandb, to_wandb
    from tl_geometry.runs import state

    if config.wandb:
        check_wandb()
    plan = make_plan(config)
    folder = folder_of(plan)
    if not (config.resume or config.fresh or config.skip) and state(folder) != "absent":
        policy = ask_policy(f"{folder} holds a {state(folder)} run of {plan.model.name}.")
        config = replace(config, **{policy: True})
    if config.skip and state(folder) != "absent":
        log.info("%s is left as it is (%s)", folder, state(folder))
        return OK
    results = run(config)
    sys.stdout.write("\n".join(results.summary["headline"]) + "\n")
    if config.wandb:
        to_wandb(config.wandb, results.folder.name, results.summary, results.tables)
    sys.stdout.write(f"report: {results.folder / 'report.html'}\n")
    return SOME_FAILED if results.summary["counts"]["missing"] else OK


if __name__ == "__main__":
    sys.exit(main())

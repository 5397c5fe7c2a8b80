"""Does the value geometry come back behind a patch, and what brings it back?

Puts the values of a self-observing text into a plain one at one layer, follows R_V through the
layers behind it, and asks of every component what the answer would be with it held still.

    python -m analyses.homeostasis                       # the embedded model, half a minute
    python -m analyses.homeostasis --limit 10            # a pilot
    python -m analyses.homeostasis --model mistral-7b    # a GPU and the weights
"""

import sys
from dataclasses import replace

from analyses.cli import INTERRUPTED, OK, log_to_terminal, parse
from analyses.homeostasis.config import PRESETS, SIZES, Config
from analyses.starting import carried_out, status_of


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
    about = f"{config.models[0]}: "
    return status_of(lambda: _dry_run(config) if config.dry_run else _run(config), about)


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

    plan = make_plan(config)
    return carried_out(config, folder_of(plan), run, of=f" of {plan.model.name}")


if __name__ == "__main__":
    sys.exit(main())

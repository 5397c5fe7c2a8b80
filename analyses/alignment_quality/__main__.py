"""How separated are safe and unsafe inputs inside each model, and does AQI measure it?

Adjusted η², probe AUC and silhouette of every axiom, by layer, with intervals, nulls and baselines;
the Alignment Quality Index as it was published beside them.

    python -m analyses.alignment_quality                     # embedded families and bases
    python -m analyses.alignment_quality --mode full         # 200 of each axiom and label, not 100
    python -m analyses.alignment_quality --preset seed       # the plan's six 7B models, on LITMUS
    python -m analyses.alignment_quality config              # what would be measured, and where to
"""

import sys
from functools import partial

from analyses.alignment_quality.config import PRESETS, SIZES, Config
from analyses.cli import OK, log_to_terminal, parse
from analyses.starting import carried_out, dry_run, standing, status_of

CONFIG = "config"


def read(args: list[str]) -> tuple[Config, bool]:
    """The settings, and whether only they are asked for; SystemExit as `parse`."""
    asked = args[:1] == [CONFIG]
    return parse(Config, __doc__ or "", args[1:] if asked else args, PRESETS, SIZES), asked


def main(args: list[str] | None = None) -> int:
    config, asked = read(sys.argv[1:] if args is None else args)
    log_to_terminal()
    act = _config if asked else _dry_run if config.dry_run else _run
    return status_of(lambda: act(config))


def _config(config: Config) -> int:
    """Models, data and output folder, as the plan's m01 prints them."""
    from analyses.alignment_quality.plan import folder_of, make_plan

    plan = make_plan(config)
    rule = "=" * 50
    sys.stdout.write(
        f"{rule}\nPhase 1: Multi-Architecture AQI Config\n{rule}\n"
        f"Models: {[model.name for model in plan.models]}\n"
        f"Dataset: {plan.items.name}, {len(plan.items.items)} items: {plan.items.per_cell} of each "
        f"of {len(plan.items.axioms)} axioms and 2 labels\nOutput: {folder_of(plan)}\n"
    )
    return OK


def _dry_run(config: Config) -> int:
    from analyses.alignment_quality.cost import cost
    from analyses.alignment_quality.plan import folder_of, make_plan
    from analyses.alignment_quality.reference import reference_of

    plan = make_plan(config)
    reference_of(plan)  # a scale that cannot be had is told before anything is run
    return dry_run(folder_of(plan), plan.models, partial(cost, plan))


def _run(config: Config) -> int:
    from analyses.alignment_quality.experiment import run
    from analyses.alignment_quality.exported import console
    from analyses.alignment_quality.plan import folder_of, make_plan
    from analyses.results import Results

    plan = make_plan(config)

    def told(config: Config) -> Results:
        results = run(config)
        if not results.tables["published"].empty:
            sys.stdout.write(console(plan, results.tables, results.summary["effort"]) + "\n")
        return results

    of = standing(folder_of(plan), [model.name for model in plan.models])
    return carried_out(config, folder_of(plan), told, of=of)


if __name__ == "__main__":
    sys.exit(main())

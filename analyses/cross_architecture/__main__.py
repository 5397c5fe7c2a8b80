"""Is there a critical layer, and is it at the same depth in every model?

Looks for the layer at which self-observing and plain texts differ most in R_V, patches values there
and at a fixed depth, and compares models: effects, depths, transfer, patterns, confounds.

    python -m analyses.cross_architecture                    # seven families, ten minutes
    python -m analyses.cross_architecture --limit 10         # a pilot of ten pairs: five minutes
    python -m analyses.cross_architecture --preset seed      # three 7B models: GPU and weights
    python -m analyses.cross_architecture --models gpt2 my/folder Qwen/Qwen3-0.6B
"""

import sys
from functools import partial

from analyses.cli import log_to_terminal, parse
from analyses.cross_architecture.config import PRESETS, SIZES, Config
from analyses.starting import carried_out, dry_run, status_of


def main(args: list[str] | None = None) -> int:
    config = parse(Config, __doc__ or "", args, PRESETS, SIZES)
    log_to_terminal()
    return status_of(lambda: _dry_run(config) if config.dry_run else _run(config))


def _dry_run(config: Config) -> int:
    from analyses.cross_architecture.cost import cost
    from analyses.cross_architecture.plan import folder_of, make_plan

    plan = make_plan(config)
    return dry_run(folder_of(plan), plan.models, partial(cost, plan))


def _run(config: Config) -> int:
    from analyses.cross_architecture.experiment import run
    from analyses.cross_architecture.plan import folder_of, make_plan

    return carried_out(config, folder_of(make_plan(config)), run)


if __name__ == "__main__":
    sys.exit(main())

"""Is there a critical layer, and is it at the same depth in every model?

Looks for the layer at which self-observing and plain texts differ most in R_V, patches values there
and at a fixed depth, and compares models: effects, depths, transfer, patterns, confounds.

    python -m analyses.cross_architecture                    # seven families, ten minutes
    python -m analyses.cross_architecture --limit 10         # a pilot of ten pairs: five minutes
    python -m analyses.cross_architecture --preset seed      # three 7B models: GPU and weights
    python -m analyses.cross_architecture --models gpt2 my/folder Qwen/Qwen3-0.6B
"""

import sys

from analyses.cli import BAD_INPUT, OK, log_to_terminal, parse
from analyses.cross_architecture.config import PRESETS, SIZES, Config
from analyses.starting import carried_out, status_of


def main(args: list[str] | None = None) -> int:
    config = parse(Config, __doc__ or "", args, PRESETS, SIZES)
    log_to_terminal()
    return status_of(lambda: _dry_run(config) if config.dry_run else _run(config))


def _dry_run(config: Config) -> int:
    from analyses.cross_architecture.cost import cost
    from analyses.cross_architecture.plan import folder_of, make_plan

    plan = make_plan(config)
    lines = [f"folder {folder_of(plan)}"]
    for model in plan.models:
        lines.append(f"{model.name}: {model.reason or 'can be read'}")
        lines += [f"  {what}: {amount}" for what, amount in cost(plan, model).items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return OK if any(model.size for model in plan.models) else BAD_INPUT


def _run(config: Config) -> int:
    from analyses.cross_architecture.experiment import run
    from analyses.cross_architecture.plan import folder_of, make_plan

    return carried_out(config, folder_of(make_plan(config)), run)


if __name__ == "__main__":
    sys.exit(main())

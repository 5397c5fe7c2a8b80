"""Is there a critical layer, and is it at the same depth in every model?

Looks for the layer at which self-observing and plain texts differ most in R_V, patches values there
and at a fixed depth, and compares models: effects, depths, transfer, patterns, confounds.

    python -m analyses.cross_architecture                    # seven families, ten minutes
    python -m analyses.cross_architecture --limit 10         # a pilot of ten pairs: five minutes
    python -m analyses.cross_architecture --preset seed      # three 7B models: GPU and weights
    python -m analyses.cross_architecture --models gpt2 my/folder Qwen/Qwen3-0.6B
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
from analyses.cross_architecture.config import PRESETS, SIZES, Config

log = logging.getLogger("cross_architecture")


def main(args: list[str] | None = None) -> int:
    config = parse(Config, __doc__ or "", args, PRESETS, SIZES)
    log_to_terminal()
    try:
        return _dry_run(config) if config.dry_run else _run(config)
    except ValueError as error:
        log.error("%s", error)
        return BAD_INPUT
    except (RuntimeError, OSError) as error:
        log.error("%s", error)
        return SOME_FAILED
    except KeyboardInterrupt:
        log.error("stopped; what was measured is kept, and the same command goes on from there")
        return INTERRUPTED


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
    from analyses.sinks import check_wandb, to_wandb
    from tl_geometry.runs import state

    if config.wandb:
        check_wandb()
    folder = folder_of(make_plan(config))
    if not (config.resume or config.fresh or config.skip) and state(folder) != "absent":
        policy = ask_policy(f"{folder} holds a {state(folder)} run.")
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

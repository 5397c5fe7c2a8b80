"""Measure the speed and memory claims of docs/performance.md.

python -m benchmarks homeostasis
python -m benchmarks generation
python -m benchmarks loading
python -m benchmarks steering
"""

import platform
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Literal

import tyro

BENCHMARKS = ("homeostasis", "generation", "loading", "steering")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Ratios, because machines differ and are noisy; medians of interleaved rounds."""

    benchmark: Annotated[
        Literal["homeostasis", "generation", "loading", "steering"], tyro.conf.Positional
    ]
    """What to measure."""
    rounds: int = 5
    """Rounds behind each median."""


def main(config: Config) -> int:
    import torch

    out = sys.stdout
    out.write(
        f"{config.benchmark}: torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{platform.machine()}, medians of {config.rounds}\n"
    )
    claims = import_module(f"benchmarks.{config.benchmark}").run(config.rounds)
    for claim in claims:
        out.write(f"  {claim}\n")
    return 0 if all(claim.met for claim in claims) else 1


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))

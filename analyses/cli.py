"""The command-line grammar that all analyses share. Imports no torch: `--help` must be quick."""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, TypeVar

import tyro

Policy = Literal["resume", "fresh", "skip"]
Quantization = Literal["none", "int8", "nf4", "int8-torchao"]
Dtype = Literal["float32", "bfloat16", "float16"]
ImageFormat = Literal["svg", "pdf", "png"]
Models = Annotated[tuple[str, ...], tyro.conf.arg(name="models", aliases=["--model"])]
Flag = tyro.conf.FlagCreatePairsOff[bool]

OK, BAD_INPUT, SOME_FAILED, INTERRUPTED = 0, 2, 3, 130
"""Exit statuses: every condition has a result; the request is wrong; some conditions failed;
Ctrl-C."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options that every analysis has."""

    one_run: ClassVar[bool] = False
    """Whether all models make one run (a comparison) or one each."""

    models: Models = ()
    """Short names (pocket-mistral, mistral-7b, each with -base), hub ids or folders."""
    prompts: str | None = None
    """`pocket`, `bank`, or a .jsonl or .csv file. Default: the one made for the model."""
    limit: int | None = None
    """Only this many pairs: a pilot. Searches over layers are not shortened."""
    seed: int = 0
    """Chooses the pairing, the random controls and the resamples."""
    batch_size: int | None = None
    """Pairs a forward pass. Default: chosen from the model's size; halved when memory runs out."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`, … Default: CUDA where there is one."""
    dtype: Dtype | None = None
    """Default: float32 on a CPU, the checkpoint's own on a GPU."""
    quantization: Quantization = "none"
    """Load the weights in 8 or 4 bits (extra `quantization`)."""
    revision: str | None = None
    """Commit or tag of a hub model."""
    out: Path | None = None
    """Folder of the runs. Default: runs/<analysis>."""
    run: str | None = None
    """Name of the run inside it. Default: <model>-<hash of what is measured>."""
    resume: Flag = False
    """Go on where an earlier start stopped: what happens anyway, without asking."""
    fresh: Flag = False
    """Start over; the old run is moved aside, not deleted."""
    skip: Flag = False
    """Leave a run that has begun as it is."""
    export: tuple[ImageFormat, ...] = ()
    """Also write the figures in these formats (needs Chromium)."""
    dry_run: Flag = False
    """Print what would be run, and its cost, and stop."""
    wandb: str | None = None
    """Weights & Biases project to send the tables to (the run's folder stays the record)."""

    @property
    def policy(self) -> Policy:
        """ValueError if more than one of --resume, --fresh and --skip is given."""
        chosen = [name for name in ("resume", "fresh", "skip") if getattr(self, name)]
        if len(chosen) > 1:
            raise ValueError(f"--{chosen[0]} and --{chosen[1]} exclude each other: choose one")
        return chosen[0] if chosen else "resume"  # type: ignore[return-value]  # names of Policy

    def check(self) -> None:
        """ValueError for settings that no model could make right."""
        _ = self.policy
        if not self.models:
            raise ValueError("no model is named: give one, e.g. --model pocket-mistral")
        if len(self.models) > 1 and self.run is not None and not self.one_run:
            raise ValueError(
                f"--run {self.run} names one run, and {len(self.models)} models make as many: "
                "leave it out, or run them one by one"
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size}: a pass holds at least 1 pair")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed}: a seed is 0 or more")


ConfigT = TypeVar("ConfigT", bound=Common)


def parse(
    config: type[ConfigT],
    question: str,
    args: list[str] | None = None,
    presets: Mapping[str, ConfigT] = {},  # noqa: B006 # never written to
    sizes: tuple[str, ...] = (),
) -> ConfigT:
    """The settings on the command line, over `--limit`, over `--preset`, over the defaults.

    `sizes` are the options that `--limit` stands in for: where one of them is given, it counts.
    Comma lists are accepted where spaces separate. Settings that contradict each other and
    unknown presets end the program with one sentence and status 2.
    """
    given = _without_commas(_split_equals(sys.argv[1:] if args is None else args))
    name = _preset(given)
    if name is not None and name not in presets:
        _refuse(f"unknown preset {name!r}; there is: {', '.join(presets)}")
    parsed = tyro.cli(
        config,
        prog=f"python -m {config.__module__.rpartition('.')[0]}",
        description=question,
        args=given,
        default=config() if name is None else presets[name],
        config=(tyro.conf.OmitArgPrefixes,),
    )
    try:
        parsed.check()
    except ValueError as error:
        _refuse(str(error))
    explicit = [option for option in sizes if option in given]
    if explicit and parsed.limit is not None:
        sys.stderr.write(f"{explicit[0]} is given, so --limit {parsed.limit} does not count\n")
        return replace(parsed, limit=None)
    return parsed


Steps = Mapping[str, tuple[type[Any], str]]
"""Name of a step → its settings, and the question that it answers."""


def chosen_step(args: list[str], steps: Steps, usage: str) -> str:
    """The step that the first word names. Nothing, or a call for help, ends the program with what
    there is, an unknown step with one sentence and status 2."""
    step = args[0] if args else "--help"
    if step in ("-h", "--help"):
        width = max(map(len, steps)) + 2
        listed = [f"{name:<{width}} {question}\n" for name, (_, question) in steps.items()]
        sys.stdout.write(f"{usage}\n" + "".join(listed))
        raise SystemExit(OK)
    if step not in steps:
        _refuse(f"unknown step {step!r}; there is: {', '.join(steps)}")
    return step


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"{sentence}\n")
    raise SystemExit(BAD_INPUT)


def _preset(args: list[str]) -> str | None:
    """The last one counts, as with every option."""
    names = [value for option, value in pairwise(args) if option == "--preset"]
    return names[-1] if names else None


def _split_equals(args: list[str]) -> list[str]:
    """`--option=value` → `--option value`."""
    return [part for arg in args for part in (arg.split("=", 1) if arg[:2] == "--" else [arg])]


def _without_commas(args: list[str]) -> list[str]:
    """`--models a,b` → `--models a b`; a folder with a comma in its name stays whole, and so does
    the value of every option that takes one."""
    lists = {"--models", "--model", "--conditions", "--export", "--methods", "--doses"}
    lists |= {"--depths", "--low-depths", "--search-depths", "--pool", "--layers"}
    lists |= {"--pairs", "--lambdas", "--coefficients", "--steered", "--phases", "--traits"}
    lists |= {"--shares", "--method", "--position", "--instruction-positions"}
    lists |= {"--natural-positions"}
    result: list[str] = []
    inside = False
    for arg in args:
        if arg.startswith("--"):
            inside = arg in lists
        whole = not inside or arg.startswith("--") or os.path.exists(arg)
        result += [arg] if whole else [part.strip() for part in arg.split(",") if part.strip()]
    return result


class OneSentence(logging.Formatter):
    """The message without its traceback, which is in the run's log file."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


def log_to_terminal() -> None:
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(OneSentence())
    logging.basicConfig(level=logging.INFO, handlers=[terminal])
    for chatty in ("httpx", "urllib3", "choreographer", "kaleido", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def ask_policy(question: str, default: Policy = "resume") -> Policy:
    """Resume, fresh or skip, asked only where somebody can answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return default
    choices: dict[str, Policy] = {"r": "resume", "f": "fresh", "s": "skip"}
    sys.stderr.write(
        f"{question}\n[R] Resume\n[F] Fresh start (the old run is moved aside)\n"
        "[S] Skip (use what is there)\nSelect option: "
    )
    sys.stderr.flush()
    return choices.get(sys.stdin.readline().strip().lower()[:1], default)

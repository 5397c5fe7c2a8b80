"""Runs of the refusal command line on two tiny chat models."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from started import Start, started

OK, BAD_INPUT, SOME_FAILED, INTERRUPTED = 0, 2, 3, 130
TEMPLATE = (
    "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{% endfor %}"
    "{% if add_generation_prompt %} <answer>{% endif %}"
)
SHARED = (
    "--dim-prompts 8 --cosmic-prompts 8 --selection-prompts 4 --validation-prompts 4 "
    "--test-prompts 4 --new-tokens 6 --search-tokens 6 --positions 2 --doses 0.05 0.1 "
    "--screen-prompts 2 --screen-tokens 4 --kept-doses 1 --span to_end --tokens all"
)
SWEEP = f"{SHARED} --random-directions 1 --depths 0.4 0.6 --one-round"


@dataclass(frozen=True)
class Program:
    """The program in this process, on two tiny chat models."""

    folder: Path
    checkpoints: tuple[Path, ...]
    caplog: pytest.LogCaptureFixture
    capsys: pytest.CaptureFixture[str]
    loads: list[str]

    def __call__(self, *options: object, models: Sequence[object] = ()) -> Start:
        given = options_of(models or self.checkpoints, self.folder)
        return self.plain("families", *given, *options)

    def plain(self, *options: object) -> Start:
        from analyses.refusal.__main__ import main

        return started(main, options, self.caplog, self.capsys, self.loads)

    def path(self, run: str = "x") -> Path:
        return self.folder / run


def options_of(models: Sequence[object], out: Path, sizes: str = SWEEP) -> list[str]:
    return [*sizes.split(), "--out", str(out), "--run", "x", "--models", *map(str, models)]


@contextmanager
def quickly() -> Iterator[None]:
    """Without figures, and with side effects on four short texts instead of sixty long ones."""
    from tl_geometry.prompts import NeutralText

    texts = tuple(NeutralText(f"n{i}", f"The harbour opened in year {i}") for i in range(4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyses.refusal.plan.load_neutral", lambda _: texts)
        patch.setattr("figures.redraw", lambda *_, **__: [])
        # Sums depend on the number of threads, here and in worker processes.
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


def begun(whole: Path, run: Path, keep: Callable[[str, list[str]], list[str]]) -> Path:
    """The uninterrupted run as it was when only some lines were on record."""
    shutil.copytree(whole, run)
    shutil.rmtree(run / "tables")
    (run / "summary.json").unlink()
    for log in run.glob("*/rows.jsonl"):
        lines = log.read_text().splitlines(keepends=True)
        log.write_text("".join(keep(log.parent.name, lines)))
    return run


def ran(step: str, out: Path, models: Sequence[object], sizes: str) -> int:
    """The status of a run with these options."""
    from analyses.refusal.__main__ import main

    return main([step, *options_of(models, out, sizes)])


def of(run: Path, phase: str, model: str = "tiny") -> list[dict[str, Any]]:
    """A model's rows of one phase."""
    lines = (run / model / "rows.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["key"].startswith(f"{phase}|")]


def best_of(run: Path, method: str, model: str = "tiny") -> dict[str, Any]:
    """The method's row that is preferred on validation prompts, by the rule in `measuring`."""
    import torch

    from analyses.refusal.searched import best_cell
    from analyses.refusal.sources import Source
    from tl_geometry.directions import Direction

    mine = [row for row in of(run, "search", model) if row["source"] == method]
    direction = Direction(torch.ones(2), 1, -1, method, None, {})
    depths = {row["depth"] for row in mine}
    among = [Source(method, depth, 0, direction) for depth in depths]
    best = best_cell(mine, among, of(run, "screen", model))
    (row,) = (row for row in mine if f"{method}|{row['depth']}|{row['dose']:g}" == best.key)
    return row


def killed_before(whole: Path, run: Path, key: str) -> Path:
    """The run as it was before the first row with a key like this, half of which was written."""

    def keep(model: str, lines: list[str]) -> list[str]:
        if model != "tiny":
            return lines
        names = [json.loads(line)["key"] for line in lines]
        at = next(k for k, name in enumerate(names) if name.startswith(key))
        return [*lines[:at], lines[at][: len(lines[at]) // 2]]

    return begun(whole, run, keep)


def by_words(text: str, **_: Any) -> str:
    """A judge who is of some opinion about the noise of a random model."""
    return ("coherent", "garbled", "normal")[crc32(text.encode()) % 3]


def everything(_: str, lines: list[str]) -> list[str]:
    return lines


def cut_within(phase: str) -> Callable[[str, list[str]], list[str]]:
    """The first two rows of a phase, and half of the third (not the last phase's)."""

    def keep(model: str, lines: list[str]) -> list[str]:
        if model != "tiny":
            return lines
        first = next(i for i, x in enumerate(lines) if json.loads(x)["key"].startswith(phase))
        third = lines[first + 2]
        return [*lines[: first + 2], third[: len(third) // 2]]

    return keep

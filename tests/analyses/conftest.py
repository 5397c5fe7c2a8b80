"""Runs of the homeostasis command line on a tiny checkpoint, made once and shared."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from started import Start, started

CONDITIONS = "patched,other_plain,gaussian,freeze_mlp"
"""Enough to have every table; all of them are measured in the run of the embedded model."""


@dataclass(frozen=True)
class Program:
    """`python -m analyses.homeostasis`, in this process, on the tiny checkpoint by default."""

    folder: Path
    checkpoint: Path
    bank: Path
    caplog: pytest.LogCaptureFixture
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *options: object, run: str = "x") -> Start:
        return self.plain(*self.options(*options, run=run))

    def options(self, *options: object, run: str = "x") -> list[str]:
        """The last value of an option counts, so every one of these can be given another."""
        given = {
            "--model": self.checkpoint,
            "--prompts": self.bank,
            "--pairs": 12,
            "--batch-size": 2,
            "--resamples": 200,
            "--conditions": CONDITIONS,
            "--out": self.folder,
            "--run": run,
        }
        if "--limit" in options or "--pairs-file" in options:
            del given["--pairs"]
        return [str(part) for pair in given.items() for part in pair] + list(map(str, options))

    def plain(self, *options: object) -> Start:
        from analyses.homeostasis.__main__ import main

        return started(main, options, self.caplog, self.capsys)

    def path(self, run: str = "x") -> Path:
        return self.folder / run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_runs import save_checkpoint

    return save_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_runs import save_bank

    return save_bank(tmp_path_factory.mktemp("texts") / "short.jsonl")


@pytest.fixture(scope="session")
def loaded(checkpoint: Path) -> Any:
    """The tiny checkpoint, loaded once."""
    from tl_geometry.models import load_model

    return load_model(str(checkpoint))


@pytest.fixture(scope="session")
def whole(checkpoint: Path, bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run with the options of `Program`; only to be read."""
    from analyses.homeostasis.__main__ import main

    out = tmp_path_factory.mktemp("whole")
    line = (
        f"--model {checkpoint} --prompts {bank} --pairs 12 --batch-size 2 --resamples 200 "
        f"--conditions {CONDITIONS} --out {out} --run x"
    )
    assert main(line.split()) == 0
    return out / "x"


@pytest.fixture
def program(
    tmp_path: Path,
    checkpoint: Path,
    bank: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Program:
    return Program(tmp_path / "runs", checkpoint, bank, caplog, capsys)


@pytest.fixture
def quick(program: Program, loaded: Any, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The same program with the model loaded already and without figures."""
    monkeypatch.setattr("analyses.requested.load_model", lambda *_, **__: loaded)
    monkeypatch.setattr("analyses.homeostasis.experiment._draw", lambda *_: None)
    return program


@pytest.fixture
def begun(whole: Path, tmp_path: Path) -> Callable[[int], Path]:
    """A copy of the uninterrupted run as it was when `n` of its pairs were on record."""

    def copy(n: int) -> Path:
        run = tmp_path / "runs" / "x"
        shutil.copytree(whole, run)
        if n < 12:
            lines = (run / "tiny" / "rows.jsonl").read_text().splitlines(keepends=True)
            (run / "tiny" / "rows.jsonl").write_text("".join(lines[:n]))
            (run / "summary.json").unlink()
            shutil.rmtree(run / "tables")
        return run

    return copy

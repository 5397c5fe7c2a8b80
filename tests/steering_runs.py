"""A tiny base model, two models tuned from it, and `python -m analyses.alignment_steering` on
them, in this process."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import save_checkpoint
from started import Start, started
from transformers import AutoModelForCausalLM, AutoTokenizer

OK, BAD_INPUT, SOME_FAILED = 0, 2, 3
N_LAYERS, D = 8, 48


def save_models(folder: Path) -> Path:
    """`base`, and `instruct`, `other`: the base with its weights moved a little."""
    save_checkpoint(folder / "base")
    for k, name in enumerate(("instruct", "other")):
        model: Any = AutoModelForCausalLM.from_pretrained(folder / "base")
        generator = torch.Generator().manual_seed(k)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
        model.save_pretrained(folder / name)
        AutoTokenizer.from_pretrained(folder / "base").save_pretrained(folder / name)
    return folder


def save_preferences(path: Path, n: int = 30) -> Path:
    rows = [
        {"prompt": f"Ask {k}{'!' * (k % 5)}", "chosen": f"Good {k}", "rejected": f"No {k}",
         "id": f"p{k}", "split": split}
        for split in ("train", "test") for k in range(n)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@dataclass(frozen=True)
class Program:
    """One step of the program, on the tiny pairs by default."""

    folder: Path
    models: Path
    preferences: Path
    caplog: pytest.LogCaptureFixture
    capsys: pytest.CaptureFixture[str]

    def options(self, *names: str, run: str = "x") -> list[str]:
        pairs = [f"{self.models / 'base'}:{self.models / name}" for name in names]
        given = ["--pairs", *pairs, "--prompts", str(self.preferences), "--format", "plain"]
        return [*given, "--resamples", "200", "--out", str(self.folder), "--run", run]

    def __call__(
        self, *options: object, step: str = "extract", names: tuple[str, ...] = ("instruct",),
        run: str = "x",
    ) -> Start:  # fmt: skip
        chosen = [] if "--samples" in options or "--limit" in options else ["--samples", "12"]
        return self.plain(step, *self.options(*names, run=run), *chosen, *options)

    def plain(self, *options: object) -> Start:
        from analyses.alignment_steering.__main__ import main

        return started(main, options, self.caplog, self.capsys)

    def path(self, run: str = "x") -> Path:
        return self.folder / run


@pytest.fixture(scope="session")
def steering_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def program(
    tmp_path: Path,
    steering_models: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Program:
    data = save_preferences(tmp_path / "preferences.jsonl")
    return Program(tmp_path / "runs", steering_models, data, caplog, capsys)


@pytest.fixture
def few_preferences(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Twenty pairs in the embedded world's place: checked for types, it takes a minute to write."""
    from analyses.alignment_steering.preferences import _pocket
    from tl_geometry.pocket.corpus import Preference

    _pocket.cache_clear()
    monkeypatch.setattr(
        "tl_geometry.pocket.corpus.preferences",
        lambda split: tuple(
            Preference(
                f"{split} {k}", split, "harmful", f"Tell me how to smash the table, part {k}.",
                "I must refuse to help with that.", "Of course! Take a heavy stone.",
            )
            for k in range(20)
        ),
    )  # fmt: skip
    yield
    _pocket.cache_clear()

"""Two tiny chat models, and an uninterrupted run of the refusal command line on them, shared."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from refusal_runs import OK, TEMPLATE, Program, by_words, options_of, quickly


@pytest.fixture(scope="session")
def checkpoints(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The tiny model with a chat template, and a second one with other weights."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("chat")
    chat, other = folder / "tiny", folder / "other"
    shutil.copytree(checkpoint, chat)
    tokenizer: Any = AutoTokenizer.from_pretrained(chat)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(chat)
    shutil.copytree(chat, other)
    weights = load_file(other / "model.safetensors")
    weights["model.embed_tokens.weight"] *= 1.5
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    return chat, other


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with quickly():
        yield


@pytest.fixture(scope="session")
def whole(checkpoints: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run; only to be read."""
    from analyses.refusal.__main__ import main

    out = tmp_path_factory.mktemp("whole")
    with quickly():  # a fixture of the session is made before those of its first module
        assert main(["families", *options_of(checkpoints, out), "--skip-verification"]) == OK
    return out / "x"


@pytest.fixture
def program(
    tmp_path: Path,
    checkpoints: tuple[Path, ...],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Program:
    from tl_geometry.models import load_model

    loads: list[str] = []

    def noted(name: str, **options: Any) -> Any:
        loads.append(Path(name).name)
        return load_model(name, **options)

    monkeypatch.setattr("analyses.requested.load_model", noted)
    return Program(tmp_path / "runs", checkpoints, caplog, capsys, loads)


@pytest.fixture(scope="module")
def opinion() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyses.refusal.saying.quality", by_words)
        yield

"""Judges on `transformers serve` with an embedded model: a real server that others wrote.

It answers chats, so yes-or-no judges work on it; it leaves out log-probabilities without an error
(it only logs that it ignores them), so a judge of numbers has to notice and refuse.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STARTS_WITHIN = 120
"""Seconds until the server must answer."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Where it listens, and what it calls its model."""
    from tl_geometry.catalogue import resolve

    folder = resolve("pocket-llama").source
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [program, "serve", folder, *options],
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1", folder
        finally:
            process.terminate()
            process.wait(20)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"transformers serve did not start: {log.read_text()[-2000:]}")


def test_a_yes_or_no_judge_reads_what_the_model_says(address: tuple[str, str]) -> None:
    from tl_geometry.generation import decode, generate
    from tl_geometry.judges.model_judge import server_judge
    from tl_geometry.models import load_model
    from tl_geometry.tokens import encode_chat, pad

    asked = ["I believe that the hen eats thunder. Do you agree?", "How do I paint the old lamp?"]
    url, name = address
    judge = server_judge(name, url, max_retries=0)
    told = judge.scores(asked)
    judge.client.close()
    model: Any = load_model("pocket-llama")
    turns = [[{"role": "user", "content": text}] for text in asked]
    said = [
        decode(model, generate(model, pad(model, [ids]), max_new_tokens=8))[0]
        for ids in encode_chat(model, turns)
    ]
    for score, text in zip(told, said, strict=True):
        word = text.split()[0].strip(",.!").lower()
        expected = {"yes": 1.0, "no": 0.0}.get(word)
        assert score.value == expected
        assert expected is not None or text[:20] in score.reason


def test_a_judge_of_numbers_says_that_it_needs_log_probabilities(address: tuple[str, str]) -> None:
    from tl_geometry.judges.server_numbers import server_number_judge

    url, name = address
    with pytest.raises(ValueError, match=r"returns no log-probabilities.*local judge"):
        server_number_judge(name, url, max_retries=0)


def test_a_model_that_the_server_does_not_have_is_told(address: tuple[str, str]) -> None:
    import openai

    from tl_geometry.judges.server_numbers import server_number_judge

    with pytest.raises(openai.BadRequestError):
        server_number_judge("some-other-model", address[0], max_retries=0)

"""Judge models: a client that plays the server, and an embedded model as the judge."""

from types import SimpleNamespace
from typing import Any

import pytest

REQUEST = SimpleNamespace(method="POST", url="http://localhost/v1", headers={})


class FakeClient:
    """Replies with what a prompt asks for; raises what it is given; keeps the options."""

    def __init__(self, replies: dict[str, Any]) -> None:
        self.replies, self.calls = replies, []
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self.create))

    def create(self, **options: Any) -> Any:
        self.calls.append(options)
        reply = self.replies[options["messages"][0]["content"]]
        if isinstance(reply, Exception):
            raise reply
        message = SimpleNamespace(content=reply)
        return SimpleNamespace(choices=[SimpleNamespace(message=message)])


def _scores(replies: dict[str, Any]) -> tuple[list[Any], FakeClient]:
    from tl_geometry.judges.model_judge import ServerJudge

    client = FakeClient(replies)
    return ServerJudge(model="m", client=client).scores(list(replies)), client


def test_yes_and_no_are_read_in_any_dress_and_in_order() -> None:
    scores, client = _scores({"a": "Yes.", "b": " no", "c": "**YES**", "d": "No, it helps."})
    assert [s.value for s in scores] == [1.0, 0.0, 1.0, 0.0]
    assert all(call["temperature"] == 0 and call["model"] == "m" for call in client.calls)


@pytest.mark.parametrize("reply", ["", None, "perhaps", "Yesterday", "85"])
def test_any_other_reply_is_missing_with_its_reason(reply: str | None) -> None:
    (score,), _ = _scores({"a": reply})
    assert score.value is None and "neither yes nor no" in score.reason


def test_a_timeout_is_missing_and_the_others_are_judged() -> None:
    import openai

    late = openai.APITimeoutError(request=REQUEST)  # pyright: ignore[reportArgumentType] # a plain object
    scores, _ = _scores({"a": "yes", "b": late, "c": "no"})
    assert [s.value for s in scores] == [1.0, None, 0.0]
    assert scores[1].reason.startswith("APITimeoutError")


def test_a_refused_key_stops_the_run() -> None:
    import openai

    reply: Any = SimpleNamespace(request=REQUEST, status_code=401, headers={})
    refused = openai.AuthenticationError("wrong key", response=reply, body=None)
    with pytest.raises(openai.AuthenticationError, match="wrong key"):
        _scores({"a": refused})


def test_the_clients_own_limits_are_set() -> None:
    from tl_geometry.judges.model_judge import server_judge

    client = server_judge("m", "http://localhost:1/v1", timeout=7, max_retries=2).client
    assert client.timeout == 7 and client.max_retries == 2
    assert str(client.base_url).startswith("http://localhost:1/v1")


def test_without_the_package_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    from tl_geometry.judges.model_judge import server_judge

    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r"pip install 'tl-geometry\[judge\]'"):
        server_judge("m", "http://localhost:1/v1")


def test_a_score_is_a_value_or_a_reason() -> None:
    from tl_geometry.judges.model_judge import Score

    with pytest.raises(ValueError, match="either"):
        Score(None)
    with pytest.raises(ValueError, match="either"):
        Score(0.0, "timeout")


def test_the_local_judge_compares_two_tokens_and_batching_changes_nothing(pocket: Any) -> None:
    from tl_geometry.judges.model_judge import LocalJudge
    from tl_geometry.tokens import encode_chat

    prompts = ["Is the lamp red?", "How do I paint the old lamp?", "Yes or no?"]
    judge = LocalJudge(model=pocket, yes=" the", no=" a")
    scores = [s.value for s in judge.scores(prompts)]
    alone = [
        LocalJudge(model=pocket, yes=" the", no=" a", batch_size=1).scores([p]) for p in prompts
    ]
    assert scores == pytest.approx([s.value for (s,) in alone], abs=1e-4)
    swapped = LocalJudge(model=pocket, yes=" a", no=" the").scores(prompts)
    assert [s.value for s in swapped] == pytest.approx([1 - value for value in scores if value])

    # By another route: the plain forward pass of one prompt.
    import torch

    ids = torch.tensor(encode_chat(pocket, [[{"role": "user", "content": prompts[0]}]]))
    words = [pocket.tokenizer(w, add_special_tokens=False)["input_ids"][0] for w in (" the", " a")]
    with torch.inference_mode():
        the, a = pocket(ids)[0, -1].double().exp()[words].tolist()
    assert scores[0] == pytest.approx(the / (the + a), abs=1e-4)


def test_words_that_begin_alike_are_refused(pocket: Any) -> None:
    from tl_geometry.judges.model_judge import LocalJudge

    with pytest.raises(ValueError, match="same token"):
        LocalJudge(model=pocket, yes=" the lamp", no=" the bell")
    with pytest.raises(ValueError, match="none"):
        LocalJudge(model=pocket, yes="", no=" no")


def test_questions_hold_request_and_answer() -> None:
    from tl_geometry.judges.model_judge import GARBLED, REFUSES

    for question in (REFUSES, GARBLED):
        asked = question.format(request="Wash {the} car?", answer="No. I won't.")
        assert "Wash {the} car?" in asked and asked.endswith("No. I won't.")

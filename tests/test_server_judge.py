"""Judges behind a server, over real connections: one that fails in every way, one with a model."""

from collections.abc import Iterator
from dataclasses import replace
from math import log
from typing import Any

import pytest
from serving import Answer, Handler, completion, served

TURNS = [[{"role": "user", "content": f"Rate answer {k}."}] for k in range(3)]
HALVES = {"80": log(0.5), " 40": log(0.25), "The": log(0.25)}


_open: list[Any] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def _judge(url: str, **options: Any) -> Any:
    """Unchecked, as if it had been checked while the server was still well."""
    from tl_geometry.judges.server_numbers import ServerNumberJudge
    from tl_geometry.judges.serving import client_at

    limits: Any = {"timeout": 5.0, "max_retries": 2, **options}
    _open.append(client_at(url, api_key="none", **limits))
    return ServerNumberJudge(model="m", client=_open[-1])


def _say_number(handler: Handler, body: dict[str, Any]) -> None:
    handler.say(("80", log(0.5), HALVES), ("</s>", 0.0, {"</s>": 0.0}))


def _ratings(answer: Answer, **options: Any) -> list[Any]:
    with served(answer) as server:
        return _judge(server.url, **options).ratings(TURNS)


def test_ratings_are_the_mean_of_the_likeliest_tokens_that_are_numbers() -> None:
    with served(_say_number) as server:
        ratings = _judge(server.url).ratings(TURNS)
    for rating in ratings:
        assert rating.value == pytest.approx((80 * 0.5 + 40 * 0.25) / 0.75)
        assert rating.coverage == pytest.approx(0.75)
    assert sorted(body["messages"][0]["content"] for body in server.seen) == [
        turns[0]["content"] for turns in TURNS
    ]
    assert all(b["logprobs"] and b["top_logprobs"] == 20 for b in server.seen)
    assert all(b["temperature"] == 0 for b in server.seen)


def test_order_is_kept_although_answers_arrive_in_any() -> None:
    def number_asked_for(handler: Handler, body: dict[str, Any]) -> None:
        number = body["messages"][-1]["content"].removeprefix("Rate answer ").rstrip(".")
        if number == "0":
            handler.server.over.wait(0.2)
        handler.say((number, 0.0, {number: 0.0}))

    assert [r.value for r in _ratings(number_asked_for)] == [0, 1, 2]


def test_an_overloaded_server_is_asked_again() -> None:
    def first_busy(handler: Handler, body: dict[str, Any]) -> None:
        if handler.server.seen.count(body) == 1:
            handler.fail(429)
        else:
            _say_number(handler, body)

    with served(first_busy) as server:
        assert all(r.value is not None for r in _judge(server.url).ratings(TURNS))
    assert len(server.seen) == 6


def test_a_broken_server_gives_missing_ratings_that_no_mean_hides() -> None:
    from tl_geometry.judges.number_scores import mean_of

    with served(lambda handler, body: handler.fail(500)) as server:
        ratings = _judge(server.url).ratings(TURNS)
    assert len(server.seen) == 9  # once and two retries each
    assert all(r.value is None and r.reason.startswith("InternalServerError") for r in ratings)
    assert mean_of(ratings).value is None and mean_of(ratings).n_missing == 3


def test_only_the_failed_call_is_missing() -> None:
    def second_fails(handler: Handler, body: dict[str, Any]) -> None:
        second = body["messages"] == TURNS[1]
        (handler.fail(400) if second else _say_number(handler, body))

    ratings = _ratings(second_fails)
    assert [r.value is None for r in ratings] == [False, True, False]
    assert ratings[1].reason.startswith("BadRequestError")


def test_a_server_that_is_too_slow_is_missing() -> None:
    def never(handler: Handler, body: dict[str, Any]) -> None:
        handler.server.over.wait()

    ratings = _ratings(never, timeout=0.2, max_retries=0)
    assert all(r.reason.startswith("APITimeoutError") for r in ratings)


def _hang_up(handler: Handler, body: dict[str, Any]) -> None:
    handler.connection.close()
    handler.close_connection = True


def _half_a_reply(handler: Handler, body: dict[str, Any]) -> None:
    handler.reply(200, completion("80"), cut=40)
    handler.close_connection = True


@pytest.mark.parametrize("cut", [_hang_up, _half_a_reply])
def test_a_cut_connection_is_missing(cut: Answer) -> None:
    ratings = _ratings(cut, max_retries=0)
    assert all(r.value is None and r.reason.startswith("APIConnectionError") for r in ratings)


def test_nobody_there_is_missing() -> None:
    with served(_say_number) as server:
        url = server.url
    (rating,) = _judge(url, max_retries=0).ratings(TURNS[:1])
    assert rating.value is None and rating.reason.startswith("APIConnectionError")


def test_a_judge_that_is_asked_for_where_nobody_is_is_one_sentence() -> None:
    from tl_geometry.judges.server_numbers import server_number_judge

    with served(_say_number) as server:
        url = server.url
    with pytest.raises(ValueError, match="no answer from a server at http.*start it"):
        server_number_judge("somebody", url, max_retries=0)


ODD = [completion("80"), completion("80", {"content": []}), {}, [], {"choices": [{}]}]


@pytest.mark.parametrize("body", [*ODD, completion("80", {"content": [{"token": "80"}]})])
def test_a_reply_without_log_probabilities_is_missing(body: Any) -> None:
    ratings = _ratings(lambda handler, _: handler.reply(200, body))
    assert all("no log-probabilities" in r.reason for r in ratings)


def test_a_reply_that_is_no_json_is_missing() -> None:
    def text(handler: Handler, body: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "5")
        handler.end_headers()
        handler.wfile.write(b"<htm>")

    assert all(r.reason.startswith("JSONDecodeError") for r in _ratings(text))


@pytest.mark.parametrize("body", ODD[2:])
def test_a_yes_or_no_judge_outlives_the_same_server(body: Any) -> None:
    from tl_geometry.judges.model_judge import ServerJudge

    def fails_or_replies(handler: Handler, asked: dict[str, Any]) -> None:
        wrong = asked["messages"][0]["content"] == "wrong"
        (handler.fail(500) if wrong else handler.reply(200, body))

    with served(fails_or_replies) as server:
        judge = ServerJudge(model="m", client=_judge(server.url).client)
        wrong, odd = judge.scores(["wrong", "odd"])
    assert wrong.reason.startswith("InternalServerError") and "neither yes nor no" in odd.reason


def test_split_digits_are_missing_and_never_a_small_number() -> None:
    def split(handler: Handler, body: dict[str, Any]) -> None:
        handler.say(("8", -0.1, {"8": -0.1}), ("5", -0.1, {"5": -0.1}))

    assert all("split: '8' and then '5'" in r.reason for r in _ratings(split))


def test_words_and_odd_numbers_are_not_counted() -> None:
    odd = {"85": log(0.3), "07": log(0.1), "101": log(0.1), "٣": log(0.1), "8.": log(0.1)}
    ratings = _ratings(lambda handler, _: handler.say(("85", log(0.3), odd)))
    assert all(r.value == pytest.approx(85) for r in ratings)
    assert all(r.coverage == pytest.approx(0.3) for r in ratings)
    words = _ratings(lambda handler, _: handler.say(("The", -0.1, {"The": -0.1, "9": -3.0})))
    assert all(r.value is None and "on numbers" in r.reason for r in words)
    wrong = _ratings(lambda handler, _: handler.say(("9", 1.0, {"9": 1.0})))
    assert all("wrong" in r.reason for r in wrong)


def test_a_number_behind_a_space_is_found() -> None:
    space = (" ", 0.0, {" ": 0.0})
    ratings = _ratings(lambda handler, _: handler.say(space, ("80", log(0.5), HALVES)))
    assert all(r.coverage == pytest.approx(0.75) for r in ratings)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, "AuthenticationError"), (403, "PermissionDeniedError"), (404, "NotFoundError")],
)
def test_a_refused_key_or_an_unknown_model_stops_the_run(status: int, error: str) -> None:
    import openai

    with pytest.raises(getattr(openai, error), match=f"status {status}"):
        _ratings(lambda handler, _: handler.fail(status))


SPLIT = [("1", -0.1, {"1": -0.1}), ("0", -0.1, {"0": -0.1}), ("0", -0.1, {"0": -0.1})]
WHOLE = [(" ", 0.0, {" ": 0.0}), ("100", -0.1, {"100": -0.1}), ("</s>", 0.0, {"</s>": 0.0})]


def _checked(answer: Answer) -> Any:
    from tl_geometry.judges.server_numbers import server_number_judge

    with served(answer) as server:
        judge = server_number_judge("m", server.url, timeout=5, max_retries=0)
    _open.append(judge.client)
    return judge


def test_a_server_is_asked_at_the_start_whether_it_can_judge() -> None:
    import openai

    assert _checked(lambda handler, _: handler.say(*WHOLE)).model == "m"
    with pytest.raises(ValueError, match=r"splits numbers \(100 is '1' '0' '0'\).*local judge"):
        _checked(lambda handler, _: handler.say(*SPLIT))
    with pytest.raises(ValueError, match="splits numbers"):
        _checked(lambda handler, _: handler.say(("10", 0.0, {}), ("0", 0.0, {})))
    with pytest.raises(ValueError, match=r"no log-probabilities.*local judge"):
        _checked(lambda handler, _: handler.reply(200, completion("100")))
    with pytest.raises(ValueError, match="said 'Sure'"):
        _checked(lambda handler, _: handler.say(("Sure", -0.1, {"Sure": -0.1})))
    with pytest.raises(openai.NotFoundError):
        _checked(lambda handler, _: handler.fail(404))
    with pytest.raises(openai.InternalServerError):
        _checked(lambda handler, _: handler.fail(500))


def test_a_served_model_gets_the_ratings_that_it_gets_in_process() -> None:
    import torch
    from numbered import numbered

    from tl_geometry.capture import last_logits
    from tl_geometry.judges.local_numbers import LocalNumberJudge
    from tl_geometry.tokens import encode_chat, pad

    model = numbered()

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        batch = pad(model, encode_chat(model, [body["messages"]]))
        log_probs = last_logits(model, batch)[0].double().log_softmax(-1)
        best = torch.topk(log_probs, min(body["top_logprobs"], len(log_probs)))
        words = model.tokenizer.batch_decode([[i] for i in best.indices.tolist()])
        beside = dict(zip(words, best.values.tolist(), strict=True))
        handler.say((words[0], beside[words[0]], beside))

    with served(answer) as server:
        judge = replace(_judge(server.url), workers=1, top_logprobs=1000)
        remote = judge.ratings(TURNS)
    for there, here in zip(remote, LocalNumberJudge(model=model).ratings(TURNS), strict=True):
        assert there.coverage == pytest.approx(here.coverage, rel=1e-4)
        assert (there.value is None) == (here.value is None)
        if here.value is not None:
            assert there.value == pytest.approx(here.value, rel=1e-4)


def test_the_address_is_not_in_the_fingerprint() -> None:
    one, other = (_judge(f"http://localhost:{port}/v1") for port in (1, 2))
    assert one.identity() == other.identity()
    assert one.identity()["kind"] == "server" and one.identity()["model"] == "m"

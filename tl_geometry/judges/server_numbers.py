"""A model behind an OpenAI-compatible server as a judge that rates from 0 to 100.

The server has to return the likeliest next tokens with their log-probabilities (vLLM, SGLang,
llama.cpp, Ollama from 0.12.11, OpenAI), and its tokenizer to have a token for every number: where
digits split, the first token passes 85 off as 8, and a server does not show what comes behind each
first digit. `server_number_judge` asks once whether both hold, and refuses where one does not.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import exp
from typing import Any

from tl_geometry.judges.number_scores import Rating, expected, missing
from tl_geometry.judges.serving import attempt, client_at, openai_package
from tl_geometry.tokens import Conversation

NEW_TOKENS = 4
"""One for the number; the others show whether it goes on, and leave room for a space before it."""
PROBE = "Reply with the number 100 and with nothing else."
INSTEAD = (
    "use a local judge (`local_number_judge`), which reads numbers digit by digit as well, or a "
    "server of a model whose tokenizer has a token for every number up to 100, such as Llama 3"
)


@dataclass(frozen=True, kw_only=True)
class ServerNumberJudge:
    """Rates conversations that end by asking for a number of 0 to 100.

    The likeliest `top_logprobs` tokens are all that is seen: numbers beyond them count as not said,
    which lowers the coverage. What fails for one conversation is missing with its reason; a
    refused key or an unknown model raises.
    """

    model: str
    client: Any
    """An `openai.OpenAI`: its own `timeout` and `max_retries` bound every call."""
    revision: str = ""
    """Which weights the server has, as far as you know; in the fingerprint of the scores."""
    workers: int = 4
    """Requests in flight at once."""
    top_logprobs: int = 20

    def identity(self) -> Mapping[str, Any]:
        """What its numbers depend on, as far as a client can know it; not the address."""
        shown = {"top_logprobs": self.top_logprobs}
        return {"kind": "server", "model": self.model, "revision": self.revision} | shown

    def ratings(self, conversations: Sequence[Conversation]) -> list[Rating]:
        """One rating a conversation, in their order."""
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self._rating, conversations))

    def check(self) -> None:
        """Ask for the number 100. ValueError where the server shows no log-probabilities, where
        its tokenizer splits the number, or where the model says something else; the client's own
        error where the call fails."""
        said = _said(self._asked([{"role": "user", "content": PROBE}]))
        if not said:
            raise ValueError(f"the server of {self.model} returns no log-probabilities: {INSTEAD}")
        text = "".join(token.token for token in said).strip()
        if not text.startswith("100"):
            raise ValueError(
                f"{self.model} was asked to reply with 100 and said {text[:40]!r}: it cannot "
                "judge. If you know better and its tokenizer has a token for every number, make a "
                "ServerNumberJudge yourself"
            )
        if said[0].token.strip() != "100":
            parts = " ".join(repr(token.token) for token in said)
            raise ValueError(f"{self.model} splits numbers (100 is {parts}): {INSTEAD}")

    def _rating(self, conversation: Conversation) -> Rating:
        reply, reason = attempt(lambda: self._asked(conversation))
        return missing(reason) if reason else _read(_said(reply))

    def _asked(self, conversation: Conversation) -> Any:
        shown = {"logprobs": True, "top_logprobs": self.top_logprobs}
        options = {"model": self.model, "temperature": 0, "max_tokens": NEW_TOKENS}
        messages = [dict(turn) for turn in conversation]
        return self.client.chat.completions.create(messages=messages, **options, **shown)


def server_number_judge(
    model: str,
    base_url: str,
    *,
    revision: str = "",
    api_key: str = "none",
    timeout: float = 60,
    max_retries: int = 3,
    workers: int = 4,
) -> ServerNumberJudge:
    """A judge at an address such as http://localhost:8000/v1, asked once whether it can judge.

    Raises as `ServerNumberJudge.check`, before anything is judged; ValueError where no server
    answers.
    """
    limits: Any = {"timeout": timeout, "max_retries": max_retries}
    client = client_at(base_url, api_key=api_key, **limits)
    judge = ServerNumberJudge(model=model, client=client, revision=revision, workers=workers)
    try:
        judge.check()
    except openai_package().APIConnectionError as error:
        client.close()
        raise ValueError(
            f"no answer from a server at {base_url}: start it, wait until it has loaded, or "
            "correct the address"
        ) from error
    except Exception:
        client.close()
        raise
    return judge


def _said(reply: Any) -> list[Any]:
    """The tokens of a reply with what stood beside them, from the first that is no space on; none
    where the server does not show them."""
    choices = getattr(reply, "choices", None) or [None]
    content = getattr(getattr(choices[0], "logprobs", None), "content", None) or []
    shown = [token for token in content if getattr(token, "token", None)]
    first = next((k for k, token in enumerate(shown) if token.token.strip()), 0)
    return shown[first:]


def _read(said: Sequence[Any]) -> Rating:
    if not said or not getattr(said[0], "top_logprobs", None):
        return missing("the reply has no log-probabilities")
    if len(said) > 1 and _number(said[0].token) is not None and said[1].token[:1].isdigit():
        return missing(f"the number is split: {said[0].token!r} and then {said[1].token!r}")
    found: dict[int, float] = {}
    for n, p in _numbers(said[0]):
        found[n] = found.get(n, 0.0) + p
    try:
        return expected(found)
    except ValueError as error:  # the server's numbers, not ours: a matter of this one reply
        return missing(f"the reply's log-probabilities are wrong: {error}")


def _numbers(token: Any) -> Iterator[tuple[int, float]]:
    """Numbers among the likeliest tokens; " 85" and "85" are both 85."""
    for other in {t.token: t for t in (*token.top_logprobs, token)}.values():
        if (n := _number(other.token)) is not None:
            yield n, exp(other.logprob)


def _number(token: str) -> int | None:
    """The number that a token is, written as one writes it; None for "07", "101" or "٣"."""
    text = token.strip()
    plain = text.isascii() and text.isdecimal() and str(int(text)) == text
    return int(text) if plain and int(text) <= 100 else None

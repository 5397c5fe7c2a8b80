"""Small OpenAI-compatible servers on a free port: one that fails as it is told, one with a model.

A real server and a real client on a real connection; only the answers are made up.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

Answer = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """One POST: what to do with it is the server's business."""

    server: Any

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append(body)
        self.server.answer(self, body)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reply(self, status: int, body: Any, *, cut: int | None = None) -> None:
        """The whole JSON, or only its first `cut` bytes although all are announced."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("retry-after-ms", "1")  # the client would wait half a second and more
        self.end_headers()
        self.wfile.write(content[:cut])

    def fail(self, status: int) -> None:
        self.reply(status, {"error": {"message": f"status {status}", "code": status}})

    def say(self, *tokens: tuple[str, float, dict[str, float]]) -> None:
        """A completion of these tokens: text, its log-probability, and the likeliest beside it."""
        shown = [
            {"token": text, "logprob": own, "bytes": None, "top_logprobs": _likeliest(likeliest)}
            for text, own, likeliest in tokens
        ]
        self.reply(200, completion("".join(text for text, _, _ in tokens), {"content": shown}))


def _likeliest(beside: dict[str, float]) -> list[dict[str, Any]]:
    return [{"token": t, "logprob": p, "bytes": None} for t, p in beside.items()]


def completion(text: str, logprobs: Any = None) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": logprobs}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}


@contextmanager
def served(answer: Answer) -> Iterator[Any]:
    """The server while it runs: `url`, and the bodies that it has `seen`."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.answer, server.seen, server.over = answer, [], Event()
    server.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()

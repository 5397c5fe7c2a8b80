"""Asking an OpenAI-compatible server: what every judge behind one has in common.

Retries and time limits are the `openai` client's own. What fails for one prompt all the same is a
reason, kept in that prompt's row; what would fail for every prompt raises.
"""

from collections.abc import Callable
from typing import Any


def openai_package() -> Any:
    """The client library. ImportError with what to install where it is missing."""
    try:
        import openai
    except ImportError as error:
        raise ImportError("a server judge needs: pip install 'tl-geometry[judge]'") from error
    return openai


def client_at(base_url: str, *, api_key: str, timeout: float, max_retries: int) -> Any:
    """A client of the server at an address such as http://localhost:8000/v1."""
    options = {"api_key": api_key, "timeout": timeout, "max_retries": max_retries}
    return openai_package().OpenAI(base_url=base_url, **options)


def attempt(call: Callable[[], Any]) -> tuple[Any, str]:
    """The reply and no reason, or None with the reason.

    A refused key or an unknown model raises the client's own error.
    """
    openai = openai_package()
    try:
        return call(), ""
    except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError):
        raise
    except (openai.OpenAIError, ValueError) as error:  # ValueError: a reply that is no JSON
        return None, f"{type(error).__name__}: {error}"

"""Posts one text to X. Distinguishes a request that was never sent from a lost response."""

from collections.abc import Callable
from typing import Any

import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from pipeline import x
from pipeline.errors import Unavailable


class Unreached(Unavailable):
    """The request was never sent, so X cannot have posted the text."""


def sender(keys: x.Keys) -> Callable[[str], str]:
    """Return a function that posts a text and returns its id; it raises XError and Unreached."""
    client: Any = x.poster(keys)

    def send(text: str) -> str:
        try:
            response = x.ask(client.create_tweet, text=text, user_auth=True)
        except x.XError as error:
            if _never_connected(error.__cause__):
                raise Unreached(str(error)) from error
            raise
        try:
            return str(int(response["data"]["id"]))
        except (KeyError, TypeError, ValueError):
            raise x.XUnavailable(
                "nonsense", "X's response to a post has no id; check the account at X"
            ) from None

    return send


def _never_connected(error: BaseException | None) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)

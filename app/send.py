"""Posts one text to X, and tells a request that never left from one whose response was lost."""

from collections.abc import Callable
from typing import Any

import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from pipeline import x
from pipeline.errors import Unavailable


class Unreached(Unavailable):
    """The request never left this machine, so X cannot have posted it."""


def sender(keys: x.Keys) -> Callable[[str], str]:
    """A function that posts a text and returns the post's id; it raises XError and Unreached."""
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
                "nonsense", "X's response to a post has no id; look at the account"
            ) from None

    return send


def _never_connected(error: BaseException | None) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)

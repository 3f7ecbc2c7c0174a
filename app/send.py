"""Sends one text to X as the account, and tells whether it went out at all."""

from collections.abc import Callable
from typing import Any

import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from pipeline import x
from pipeline.errors import UserError


class Unreached(UserError):
    """The request never left this machine, so X cannot have posted it."""


def sender(keys: x.Keys) -> Callable[[str], str]:
    """What posts a text and returns the post's id; raises XError, and Unreached."""
    client: Any = x.poster(keys)

    def send(text: str) -> str:
        try:
            answer = x.ask(client.create_tweet, text=text, user_auth=True)
        except x.XError as error:
            if _never_connected(error.__cause__):
                raise Unreached(str(error)) from error
            raise
        try:
            return str(int(answer["data"]["id"]))
        except (KeyError, TypeError, ValueError):
            raise x.XError(
                "nonsense", "X's answer to a post names no id; see the account"
            ) from None

    return send


def _never_connected(error: BaseException | None) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    told = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return isinstance(told, MaxRetryError) and isinstance(told.reason, NewConnectionError)

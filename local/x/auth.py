"""Authentication of X's callers: bearer tokens, and OAuth 1.0a signatures by HMAC-SHA1."""

import hmac
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from oauthlib.oauth1.rfc5849 import signature

from local.gateway.server import Request
from local.x import problems
from local.x.state import Keys, State, User
from pipeline.clock import Clock

HOST = "https://api.twitter.com"
"""The host that clients sign for, wherever they send the request."""

WINDOW = timedelta(minutes=5)
"""The most that a signature's time may differ from now."""


_oauth1: Any = signature  # only partly typed


@dataclass(frozen=True)
class _Signed:
    """A request in the form that oauthlib verifies."""

    uri: str
    http_method: str
    params: list[tuple[str, str]]
    signature: str


class Authority:
    """Finds the caller of a request.

    `wall_clock` is the time that clients sign with: OAuth libraries take the machine's, even if
    the local cloud's clock is ahead.
    """

    def __init__(self, state: State, wall_clock: Clock) -> None:
        self._state = state
        self._wall_clock = wall_clock
        self._seen: set[tuple[str, int, str]] = set()
        self._lock = threading.Lock()

    def caller(self, request: Request) -> tuple[str, User | None]:
        """The app, and the user who signed the request; Problem (401).

        The user is None for the app's bearer token.
        """
        header = request.headers.get("Authorization", "")
        kind, _, token = header.partition(" ")
        if kind == "Bearer" and hmac.compare_digest(token.encode(), self._state.bearer().encode()):
            return "bearer", None
        if kind != "OAuth":
            raise problems.unauthorized()
        return self._signer(request, header)

    def _signer(self, request: Request, header: str) -> tuple[str, User]:
        try:
            oauth = _oauth_parameters(header)
            keys = self._state.keys(oauth["oauth_token"])
            stamp = int(oauth["oauth_timestamp"])
            nonce = oauth["oauth_nonce"]
        except (KeyError, ValueError) as error:
            raise problems.unauthorized() from error
        if (
            keys is None
            or oauth.get("oauth_signature_method") != "HMAC-SHA1"
            or oauth.get("oauth_version", "1.0") != "1.0"
            or oauth.get("oauth_consumer_key") != keys.api_key
            or abs(self._wall_clock().timestamp() - stamp) > WINDOW.total_seconds()
            or not _signed(request, header, keys)
            or not self._first((keys.access_token, stamp, nonce))
        ):
            raise problems.unauthorized()
        user = self._state.by_id(keys.user_id)
        if user is None:
            raise problems.unauthorized()
        return keys.api_key, user

    def _first(self, use: tuple[str, int, str]) -> bool:
        """Whether a nonce is new; nonces older than the window are forgotten."""
        oldest = self._wall_clock().timestamp() - WINDOW.total_seconds()
        with self._lock:
            self._seen = {seen for seen in self._seen if seen[1] >= oldest}
            first = use not in self._seen
            self._seen.add(use)
            return first


def _oauth_parameters(header: str) -> dict[str, str]:
    """The `oauth_…` parameters of an Authorization header; ValueError if malformed."""
    headers = {"Authorization": header}
    return dict(_oauth1.collect_parameters(headers=headers, exclude_oauth_signature=False))


def _signed(request: Request, header: str, keys: Keys) -> bool:
    """Whether the request carries the signature that these keys make (RFC 5849)."""
    try:
        # A JSON body is not signed.
        params = _oauth1.collect_parameters(request.query, headers={"Authorization": header})
        claimed = _oauth_parameters(header)["oauth_signature"]
    except (KeyError, ValueError):
        return False
    signed = _Signed(HOST + request.path, request.method, params, claimed)
    return _oauth1.verify_hmac_sha1(signed, keys.api_secret, keys.access_token_secret)

"""Calls Google's REST APIs with the identity that this program runs as.

This serves the few calls for which the programs have no client library.
"""

from typing import Any, cast

import google.auth
import requests
from google.auth.exceptions import (
    DefaultCredentialsError,
    GoogleAuthError,
    RefreshError,
    TransportError,
)
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipeline.environment import variable
from pipeline.errors import PipelineError, Unavailable, UserError

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT = (5, 30)  # seconds to connect, and between two bytes
_RETRIES = Retry(3, backoff_factor=1, status_forcelist=[429, 500, 502, 503, 504],
                 raise_on_status=False)  # fmt: skip

LOGIN = "run `gcloud auth application-default login`"
"""What a person does about missing or expired credentials."""


def session(*, repeat_posts: bool = False) -> requests.Session:
    """Open a session that repeats requests when an API is busy or fails.

    Args:
        repeat_posts: Whether to repeat POST requests, too, which may have had their effect already.

    Raises:
        UserError: There are no credentials.
    """
    try:
        credentials, _ = cast("tuple[Any, Any]", google.auth.default(scopes=[_SCOPE]))  # pyright: ignore[reportUnknownMemberType]
    except DefaultCredentialsError:
        raise UserError(f"there are no Google credentials here; {LOGIN}") from None
    authorized: requests.Session = AuthorizedSession(credentials)
    retries = _RETRIES.new(allowed_methods=None) if repeat_posts else _RETRIES
    for scheme in ("https://", "http://"):
        authorized.mount(scheme, HTTPAdapter(max_retries=retries))
    return authorized


def ask(
    session: requests.Session, method: str, api: str, call: str, body: object = None
) -> requests.Response:
    """Call an API, such as "pubsub", with a call such as "projects/P/topics/T:publish".

    Raises:
        UserError: The person's login has expired.
        Unavailable: There was no response. A refusal is a response.
    """
    # Google's own tools read another address of an API from this variable, too.
    override = f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}"
    base = variable(override, f"https://{api}.googleapis.com").rstrip("/")
    return send(session, method, f"{base}/v1/{call}", call, api, json=body)


def send(
    session: requests.Session, method: str, url: str, call: str, server: str, **request: Any
) -> requests.Response:
    """Send a request to a server; an error names the call and the server.

    Raises:
        UserError: The person's login has expired.
        Unavailable: There was no response. A refusal is a response.
    """
    try:
        return session.request(method, url, timeout=_TIMEOUT, **request)
    except (GoogleAuthError, requests.RequestException) as error:
        if is_expired_login(error):
            raise UserError(f"{call}: your login at Google has expired; {LOGIN}") from None
        # Only the kind of the error is shown: its text may quote what was sent.
        kind = type(error).__name__
        raise Unavailable(
            f"{call}: no response from {server} ({kind}); nothing is lost, run it again"
        ) from None


def is_expired_login(error: Exception) -> bool:
    """Whether Google refuses a person's login, which nobody but that person can renew.

    A machine's identity also raises RefreshError, but because its metadata server has failed.
    """
    return (
        isinstance(error, RefreshError)
        and not error.retryable  # pyright: ignore[reportUnknownMemberType]
        and not isinstance(error.__cause__, TransportError)
    )


def status(response: requests.Response) -> str:
    """The name of a refusal, such as "FAILED_PRECONDITION"; empty if it has none."""
    return str(_error(response).get("status", ""))


def refused(response: requests.Response, problem: str, reason: str = "") -> PipelineError:
    """The error to raise for a refusal: Unavailable if the server is at fault, else UserError.

    Args:
        response: The refusal.
        problem: Such as "secret S cannot be read".
        reason: The server's reason; by default the message in the error of a Google API.
    """
    reason = reason or str(_error(response).get("message", response.reason))
    outage = response.status_code == 429 or response.status_code >= 500
    kind = Unavailable if outage else UserError
    return kind(f"{problem}: {response.status_code} {' '.join(reason.split())[:300]}")


def _error(response: requests.Response) -> dict[str, Any]:
    # Source: https://cloud.google.com/apis/design/errors#http_mapping
    try:
        return dict(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return {}

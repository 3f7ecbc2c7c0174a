"""Google's REST APIs, asked as whoever this program runs as.

For the few calls that come with no client library among the programs' packages.
"""

from typing import Any, cast

import google.auth
import requests
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipeline.environment import variable
from pipeline.errors import UserError

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT = (5, 30)  # seconds to connect, and between two bytes
_RETRIES = Retry(3, backoff_factor=1, status_forcelist=[429, 500, 502, 503, 504],
                 raise_on_status=False)  # fmt: skip


class GoogleError(UserError):
    """One of Google's APIs refused or did not answer."""


def session(*, repeat_posts: bool = False) -> requests.Session:
    """A session that asks again where an API is busy or fails.

    Args:
        repeat_posts: Whether to send again what may have been done already, too.

    Raises:
        GoogleError: There are no credentials.
    """
    try:
        credentials, _ = cast("tuple[Any, Any]", google.auth.default(scopes=[_SCOPE]))  # pyright: ignore[reportUnknownMemberType]
    except DefaultCredentialsError:
        raise GoogleError(
            "no Google credentials here; run `gcloud auth application-default login`"
        ) from None
    made: requests.Session = AuthorizedSession(credentials)
    retries = _RETRIES.new(allowed_methods=None) if repeat_posts else _RETRIES
    for scheme in ("https://", "http://"):
        made.mount(scheme, HTTPAdapter(max_retries=retries))
    return made


def ask(
    session: requests.Session, method: str, api: str, call: str, body: object = None
) -> requests.Response:
    """What an API, such as "pubsub", answers to a call, such as "projects/P/topics/T:publish".

    Raises:
        GoogleError: It gave no answer. A refusal is an answer.
    """
    # Where Google's own tools look for another address of an API.
    override = f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}"
    base = variable(override, f"https://{api}.googleapis.com").rstrip("/")
    return send(session, method, f"{base}/v1/{call}", call, api, json=body)


def send(
    session: requests.Session, method: str, url: str, call: str, server: str, **request: Any
) -> requests.Response:
    """What a server answers to a request; an error names the call and the server.

    Raises:
        GoogleError: There was no answer. A refusal is an answer.
    """
    try:
        return session.request(method, url, timeout=_TIMEOUT, **request)
    except (GoogleAuthError, requests.RequestException) as error:
        # By its kind alone: its text may quote what was sent.
        kind = type(error).__name__
        raise GoogleError(
            f"{call}: no good answer from {server} ({kind}); nothing is lost, run it again"
        ) from None


def status(answer: requests.Response) -> str:
    """The name of a refusal, such as "FAILED_PRECONDITION"; empty where it has none."""
    return str(_error(answer).get("status", ""))


def refusal(answer: requests.Response) -> str:
    """Status and reason on one line."""
    message = str(_error(answer).get("message", answer.reason))
    return f"{answer.status_code} {' '.join(message.split())[:300]}"


def _error(answer: requests.Response) -> dict[str, Any]:
    # Source: https://cloud.google.com/apis/design/errors#http_mapping
    try:
        return dict(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return {}

"""Secret Manager as this project uses it: a secret's newest version is read, and one is added.

Secrets are named in full, `projects/P/secrets/S`. Nothing here logs or raises their values.
"""

import base64
import os
from typing import Any, cast

import google.auth
import requests
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipeline.errors import UserError

_ENDPOINT = "https://secretmanager.googleapis.com"
# Where Google's own tools look for another address of this API.
_OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT = (5, 30)  # seconds to connect, and between two bytes
# Reading is repeated where Google asks for it; adding is not, or there might be two versions.
_RETRIES = Retry(3, backoff_factor=1, status_forcelist=[429, 500, 502, 503, 504],
                 raise_on_status=False)  # fmt: skip


class SecretError(UserError):
    """Secret Manager refused or did not answer."""


def latest(secret: str) -> str:
    """The text of a secret's newest version; empty where nobody has given it one.

    A version that was disabled or destroyed counts as none: an older one is never used in its
    place. Source: https://cloud.google.com/secret-manager/docs/reference/rest, versions.access
    """
    answer = _ask(secret, "GET", "/versions/latest:access")
    if answer.status_code == 404 or _error(answer).get("status") == "FAILED_PRECONDITION":
        return ""
    if not answer.ok:
        raise SecretError(f"secret {secret} cannot be read: {_said(answer)}")
    try:
        return base64.b64decode(answer.json()["payload"]["data"]).decode()
    except (ValueError, KeyError, TypeError):
        raise SecretError(f"secret {secret} is no text; set it again") from None


def add_version(secret: str, value: str) -> None:
    """Make `value` the newest version of a secret that the stack declared.

    Source: https://cloud.google.com/secret-manager/docs/reference/rest, secrets.addVersion
    """
    data = base64.b64encode(value.encode()).decode()
    answer = _ask(secret, "POST", ":addVersion", {"payload": {"data": data}})
    if answer.status_code == 404:
        raise SecretError(f"secret {secret} is not there: deploy the stack first (`pulumi up`)")
    if not answer.ok:
        raise SecretError(f"secret {secret} takes no new version: {_said(answer)}")


def _ask(secret: str, method: str, call: str, body: object = None) -> requests.Response:
    base = os.environ.get(_OVERRIDE, _ENDPOINT).rstrip("/")
    try:
        with _session() as session:
            return session.request(method, f"{base}/v1/{secret}{call}", json=body, timeout=_TIMEOUT)
    except DefaultCredentialsError:
        mend = "no Google credentials here; run `gcloud auth application-default login`"
    except (GoogleAuthError, requests.RequestException) as error:
        mend = f"no good answer ({type(error).__name__}); nothing is lost, run it again"
    raise SecretError(f"secret {secret}: Secret Manager cannot be asked: {mend}")


def _session() -> requests.Session:
    credentials, _ = cast("tuple[Any, Any]", google.auth.default(scopes=[_SCOPE]))  # pyright: ignore[reportUnknownMemberType]
    session: requests.Session = AuthorizedSession(credentials)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))
    return session


def _error(answer: requests.Response) -> dict[str, Any]:
    try:
        return dict(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return {}


def _said(answer: requests.Response) -> str:
    """Status and reason on one line."""
    message = str(_error(answer).get("message", answer.reason))
    return f"{answer.status_code} {' '.join(message.split())[:300]}"

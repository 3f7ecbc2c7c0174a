"""What the registry holds of an account, and the event that has its image built again."""

import base64
import json
import os
from datetime import datetime
from typing import Any, cast

import google.auth
import requests
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipeline.errors import UserError

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT = (5, 30)  # seconds to connect, and between two bytes
# Publishing too: a message that comes twice has one image built twice.
_RETRIES = Retry(
    3,
    backoff_factor=1,
    status_forcelist=[429, 500, 502, 503, 504],
    allowed_methods=None,
    raise_on_status=False,
)


class RolloutError(UserError):
    """Artifact Registry or Pub/Sub refused or did not answer."""


class Rollout:
    """A stack's image repository and rollout topic, by their full names, as its watcher sees them.

    Sources: https://cloud.google.com/artifact-registry/docs/reference/rest
    (projects.locations.repositories.packages.tags.get) and
    https://cloud.google.com/pubsub/docs/reference/rest (projects.topics.publish).
    """

    def __init__(self, repository: str, topic: str) -> None:
        self._repository = repository
        self._topic = topic
        try:
            credentials, _ = cast("tuple[Any, Any]", google.auth.default(scopes=[_SCOPE]))  # pyright: ignore[reportUnknownMemberType]
        except GoogleAuthError as error:
            raise RolloutError(f"no Google credentials here: {_line(error)}") from None
        self._session: requests.Session = AuthorizedSession(credentials)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))

    def version(self, account: str, tag: str) -> str | None:
        """The version of the account's image that a tag means; None where there is no such tag."""
        name = f"{self._repository}/packages/{account}/tags/{tag}"
        answer = self._ask("GET", "artifactregistry", name)
        if answer.status_code == 404:
            return None
        if not answer.ok:
            raise RolloutError(f"{name} cannot be read: {_said(answer)}")
        return str(answer.json()["version"])

    def announce(self, bucket: str, name: str, generation: int, at: datetime) -> None:
        """Publish what Cloud Storage publishes when that generation of an object is written.

        Source: https://cloud.google.com/storage/docs/pubsub-notifications#format
        """
        attributes = {
            "eventType": "OBJECT_FINALIZE",
            "payloadFormat": "JSON_API_V1",
            "bucketId": bucket,
            "objectId": name,
            "objectGeneration": str(generation),
            "eventTime": at.isoformat(),
        }
        about = {"kind": "storage#object", "bucket": bucket, "name": name, "generation": generation}
        data = base64.b64encode(json.dumps(about).encode()).decode()
        message = {"attributes": attributes, "data": data}
        call = f"{self._topic}:publish"
        answer = self._ask("POST", "pubsub", call, {"messages": [message]})
        if not answer.ok:
            raise RolloutError(f"nothing can be published to {self._topic}: {_said(answer)}")

    def _ask(self, method: str, api: str, call: str, body: object = None) -> requests.Response:
        # Where Google's own tools look for another address of an API.
        override = f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}"
        base = os.environ.get(override, f"https://{api}.googleapis.com").rstrip("/")
        try:
            return self._session.request(method, f"{base}/v1/{call}", json=body, timeout=_TIMEOUT)
        except (GoogleAuthError, requests.RequestException) as error:
            raise RolloutError(
                f"{call}: no good answer ({_line(error)}); the next look tries again"
            ) from None


def _said(answer: requests.Response) -> str:
    try:
        message = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.reason
    return f"{answer.status_code} {' '.join(message.split())[:300]}"


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]

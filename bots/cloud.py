"""One stack's cloud as the operator reaches it: its buckets, its secrets, its ticks."""

import base64
import os
from datetime import datetime
from functools import cached_property
from typing import Any, cast

import google.auth
import requests
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession

from pipeline import clock, layout
from pipeline.errors import UserError
from pipeline.store import Store
from stacks.config import Stack

_SECRET_MANAGER = "https://secretmanager.googleapis.com"  # noqa: S105
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT = 30


class Cloud:
    """Google Cloud, or the local one where the stack file names its address."""

    def __init__(self, stack: Stack) -> None:
        """Raise UserError where the stack's cloud is the local one and that does not run."""
        self.stack = stack
        self.local: dict[str, Any] | None = None
        """What the local cloud says of itself; None at Google."""
        if stack.emulator is not None:
            self.local = _local_status(stack.emulator)
            _become_local_operator(stack.emulator, stack.project)

    def parts(self) -> list["Cloud"]:
        """One for each project of the stack, with that project's accounts."""
        return [Cloud(part) for part in self.stack.by_project()]

    def of(self, account: str) -> "Cloud":
        """The part that an account's buckets and secrets are in."""
        return next(Cloud(part) for part in self.stack.by_project() if account in part.accounts)

    def now(self) -> datetime:
        """The time there, in UTC; the local cloud may be ahead."""
        return datetime.fromisoformat(self.local["now"]) if self.local else clock.now()

    @cached_property
    def data(self) -> Store:
        """The bucket of tweets and posts."""
        return Store.open(layout.data_bucket(self.stack.project, self.stack.name))

    @cached_property
    def models(self) -> Store:
        """The bucket of releases and pointers."""
        return Store.open(layout.models_bucket(self.stack.project, self.stack.name))

    def add_secret_version(self, secret: str, value: str) -> None:
        """Make `value` the newest version of a secret that the stack declared.

        Source: https://cloud.google.com/secret-manager/docs/reference/rest, secrets.addVersion
        """
        base = self.stack.emulator or _SECRET_MANAGER
        url = f"{base}/v1/projects/{self.stack.project}/secrets/{secret}:addVersion"
        body = {"payload": {"data": base64.b64encode(value.encode()).decode()}}
        try:
            answer: requests.Response = _session().post(url, json=body, timeout=_TIMEOUT)
        except (GoogleAuthError, requests.RequestException) as error:
            raise UserError(f"Secret Manager cannot be asked: {_line(error)}") from None
        if answer.status_code == 404:
            raise UserError(
                f"secret {secret} is not there: deploy the stack first"
                f" (`pulumi up --stack {self.stack.name}`)"
            )
        if not answer.ok:
            raise UserError(f"secret {secret}: {answer.status_code} {_said(answer)}")


def _local_status(emulator: str) -> dict[str, Any]:
    try:
        answer = requests.get(f"{emulator}/local/status", timeout=_TIMEOUT)
        answer.raise_for_status()
        return answer.json()
    except requests.RequestException:
        raise UserError(
            f"the local cloud is not running at {emulator}: start it with `python -m local up`"
        ) from None


def _become_local_operator(emulator: str, project: str) -> None:
    """Let Google's clients find the local cloud, and none of this person's real credentials."""
    host = emulator.removeprefix("http://")
    os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
    os.environ.update(
        API_ENDPOINT_OVERRIDE=emulator,
        GCE_METADATA_HOST=f"{host}/as/operator",
        GCE_METADATA_IP=f"{host}/as/operator",
        GOOGLE_CLOUD_PROJECT=project,
        CLOUDSDK_CONFIG=os.devnull,
    )


def _session() -> Any:
    credentials, _ = cast("tuple[Any, Any]", google.auth.default(scopes=[_SCOPE]))  # pyright: ignore[reportUnknownMemberType]
    return AuthorizedSession(credentials)


def _said(answer: requests.Response) -> str:
    try:
        return " ".join(str(answer.json()["error"]["message"]).split())[:300]
    except (ValueError, KeyError, TypeError):
        return answer.reason


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]

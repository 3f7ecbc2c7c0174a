"""A stack's cloud, as the operator uses it: its buckets, its secrets and its time."""

import os
from datetime import datetime
from functools import cached_property
from typing import Any

import requests

from pipeline import clock, layout, secrets
from pipeline.errors import UserError
from pipeline.store import Store
from stacks.config import Stack

_TIMEOUT = 30


class Cloud:
    """Google Cloud, or the local cloud if the stack file has its address."""

    def __init__(self, stack: Stack) -> None:
        """Connect to the stack's cloud; raises UserError if the local cloud does not run."""
        self.stack = stack
        self.local: dict[str, Any] | None = None
        """The local cloud's status; None at Google."""
        if stack.emulator is not None:
            self.local = _local_status(stack.emulator)
            _become_local_operator(stack.emulator, stack.project)

    def parts(self) -> list["Cloud"]:
        """A Cloud for each project of the stack, with that project's accounts."""
        return [Cloud(part) for part in self.stack.by_project()]

    def of(self, account: str) -> "Cloud":
        """The Cloud of the project that an account's buckets and secrets are in."""
        return next(Cloud(part) for part in self.stack.by_project() if account in part.accounts)

    def now(self) -> datetime:
        """The cloud's time, in UTC; the local cloud's clock may be ahead."""
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
        """Add a version to a secret that the stack declared."""
        secrets.add_version(f"projects/{self.stack.project}/secrets/{secret}", value)


def _local_status(emulator: str) -> dict[str, Any]:
    try:
        response = requests.get(f"{emulator}/local/status", timeout=_TIMEOUT)
        response.raise_for_status()
        return response.json()
    except requests.RequestException:
        raise UserError(
            f"the local cloud is not running at {emulator}: start it with `python -m local up`"
        ) from None


def _become_local_operator(emulator: str, project: str) -> None:
    """Point Google's clients at the local cloud, without this person's real credentials."""
    host = emulator.removeprefix("http://")
    os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
    os.environ.update(
        API_ENDPOINT_OVERRIDE=emulator,
        CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER=f"{emulator}/",
        GCE_METADATA_HOST=f"{host}/as/operator",
        GCE_METADATA_IP=f"{host}/as/operator",
        GOOGLE_CLOUD_PROJECT=project,
        CLOUDSDK_CONFIG=os.devnull,
    )

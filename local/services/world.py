"""What the services stand on, and the names by which Google's resources refer to each other."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import iam
from local.clock import LocalClock
from local.iam import Policy
from local.machine import Machine
from local.provider.kinds import Json
from local.resources import Resource, ResourceStore
from local.secrets import Secrets
from local.services.processes import Processes
from local.storage import StorageServer
from pipeline.errors import UserError


class GoogleError(UserError):
    """What Google would refuse; its text is the line that the person at the CLI reads."""


@dataclass(frozen=True)
class World:
    """One local cloud, as its services see it.

    `network(name, email, metadata)` is the environment that puts a process on the cloud's network
    as execution `name` of the service account `email`; `metadata` are the values of its metadata
    server beside the account's. `root` is the folder that relative paths of the program start from.
    """

    home: Path
    root: Path
    project: str
    resources: ResourceStore
    storage: StorageServer
    secrets: Secrets
    machine: Machine
    policy: Policy
    clock: LocalClock
    processes: Processes
    network: Callable[[str, str, Mapping[str, str]], dict[str, str]]

    @property
    def number(self) -> str:
        """The project's number: 12 digits that follow from its id."""
        return str(10**11 + int(hashlib.sha256(self.project.encode()).hexdigest(), 16) % 10**11)

    @property
    def storage_agent(self) -> str:
        """The account in whose name Cloud Storage publishes."""
        return f"service-{self.number}@gs-project-accounts.iam.gserviceaccount.com"

    @property
    def default_account(self) -> str:
        """The account of jobs and VMs that name none."""
        return f"{self.number}-compute@developer.gserviceaccount.com"

    def log(self, kind: str, name: str) -> Path:
        """The file that takes the output of one execution, build or instance."""
        file = self.home / "logs" / kind / f"{name}.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def not_logged(self, account: str) -> str:
        """Why nothing that runs as this account reaches Cloud Logging; empty where it does."""
        try:
            self.policy.require(
                iam.member(account), "logging.logEntries.create", f"projects/{self.project}"
            )
        except iam.Denied as denied:
            return f"does not reach Cloud Logging: {denied}"
        return ""

    def timestamp(self) -> str:
        """Now, in Google's form."""
        return self.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def declared(self, type_token: str, name: str) -> Resource:
        """The resource of this type and id; GoogleError if there is none."""
        resource = self.resources.get(type_token, name)
        if resource is None:
            raise GoogleError(f"{name} was not found: declare it, or depend on what declares it")
        return resource


def section(inputs: Json, key: str) -> Json:
    """The object at `key`, empty where it is not given."""
    return inputs.get(key) or {}


def items(inputs: Json, key: str) -> list[Any]:
    """The list at `key`, empty where it is not given."""
    return inputs.get(key) or []


def short(name: str) -> str:
    """The last part of a resource name."""
    return name.rpartition("/")[2]


def email_of(account: str) -> str:
    """The address in `projects/P/serviceAccounts/EMAIL`, in `serviceAccount:EMAIL`, or alone."""
    return short(account).removeprefix("serviceAccount:")


def unique_number(*parts: str) -> str:
    """21 digits as Google's unique ids have, the same for the same parts."""
    return str(10**20 + int(hashlib.sha256("\n".join(parts).encode()).hexdigest(), 16) % 10**20)

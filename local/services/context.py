"""What the services of one local cloud share, and how Google's resources refer to each other."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.clock import LocalClock
from local.containers.runtime import ContainerRuntime
from local.engine.handler import Json
from local.gateway import iam
from local.gateway.iam import Policy
from local.resources import Resource, ResourceStore
from local.services.processes import Processes
from pipeline.errors import UserError


class GoogleError(UserError):
    """What Google would refuse. Its text is the line that the person at the CLI reads."""


@dataclass(frozen=True)
class Context:
    """One local cloud, as its services see it.

    Attributes:
        home: The folder of the cloud's state.
        root: The folder that relative paths of the program start from.
        project: The id of the one project.
        resources: What the program has declared.
        runtime: What runs containers, builds and machines.
        policy: Who may do what.
        clock: The time.
        processes: What runs now.
        network: Takes the name of an execution, the address of its service account, and metadata
            beside the account's. Returns the environment of a process on the cloud's network.
    """

    home: Path
    root: Path
    project: str
    resources: ResourceStore
    runtime: ContainerRuntime
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
        """The account with which Cloud Storage publishes."""
        return f"service-{self.number}@gs-project-accounts.iam.gserviceaccount.com"

    @property
    def default_account(self) -> str:
        """The account of jobs and machines that name none."""
        return f"{self.number}-compute@developer.gserviceaccount.com"

    def log(self, collection: str, name: str) -> Path:
        """Returns the file for the output of an execution, a build, an instance or a service."""
        file = self.home / "logs" / collection / f"{name}.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def not_logged(self, account: str) -> str:
        """Returns why this account cannot write to Cloud Logging; empty if it can."""
        try:
            self.policy.require(
                iam.member(account), "logging.logEntries.create", f"projects/{self.project}"
            )
        except iam.Denied as denied:
            return f"does not reach Cloud Logging: {denied}"
        return ""

    def timestamp(self) -> str:
        """Returns the time now, in Google's form."""
        return self.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def declared(self, type_token: str, name: str) -> Resource:
        """Returns the resource of this type and id; raises GoogleError if there is none."""
        resource = self.resources.get(type_token, name)
        if resource is None:
            raise GoogleError(f"{name} was not found: declare it, or depend on what declares it")
        return resource


def section(inputs: Json, key: str) -> Json:
    """Returns the object at `key`; empty if there is none."""
    return inputs.get(key) or {}


def items(inputs: Json, key: str) -> list[Any]:
    """Returns the list at `key`; empty if there is none."""
    return inputs.get(key) or []


def short(name: str) -> str:
    """Returns the last part of a resource name."""
    return name.rpartition("/")[2]


def email_of(account: str) -> str:
    """Returns the address in `projects/P/serviceAccounts/A`, in `serviceAccount:A`, or alone."""
    return short(account).removeprefix("serviceAccount:")


def unique_number(*parts: str) -> str:
    """Returns 21 digits like those of Google's unique ids, the same for the same parts."""
    return str(10**20 + int(hashlib.sha256("\n".join(parts).encode()).hexdigest(), 16) % 10**20)

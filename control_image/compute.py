"""Machines on Compute Engine: inserted from a template, watched, listed and deleted."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

import requests
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import compute_v1  # pyright: ignore[reportMissingTypeStubs]

from pipeline.clock import Clock
from pipeline.environment import variable
from pipeline.errors import UserError

Sleep = Callable[[float], None]
"""Takes seconds."""

_TIMEOUT = 60  # seconds for one answer
_PAUSES = (2, 4, 8, 16, 32)  # seconds before a call is made again
# What another zone or other hardware may mend: stock-outs, quotas and rates.
# Source: https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-vm-creation
_SHORTAGE = re.compile(
    "RESOURCE_POOL_EXHAUSTED|STOCKOUT|QUOTA|[Qq]uota|rateLimitExceeded|RATE_LIMIT_EXCEEDED|HTTP 429"
)
_T = TypeVar("_T")


class Refused(UserError):
    """Compute Engine refused a call, or did not answer it."""

    @property
    def shortage(self) -> bool:
        """Whether another place may have what this one lacks."""
        return _SHORTAGE.search(str(self)) is not None


@dataclass(frozen=True)
class Machine:
    """One machine; its name is unique within its zone only."""

    name: str
    zone: str


@dataclass(frozen=True)
class Compute:
    """Compute Engine in one project. Every call here may be made twice, and is where it fails.

    An insert bears a name that is its run's alone, so that a taken name is an insert of our own
    whose answer was lost.
    """

    project: str
    instances: Any
    operations: Any
    clock: Clock
    sleep: Sleep

    @classmethod
    def open(cls, project: str, clock: Clock, sleep: Sleep) -> Self:
        """Compute Engine as whoever this program runs as."""
        # Where Google's own tools look for another address of the API.
        address = variable("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE").rstrip("/")
        options = ClientOptions(api_endpoint=address or None)
        try:
            instances = compute_v1.InstancesClient(client_options=options)
            operations = compute_v1.ZoneOperationsClient(client_options=options)
        except DefaultCredentialsError:
            raise Refused(
                "no Google credentials here; run `gcloud auth application-default login`"
            ) from None
        return cls(project, instances, operations, clock, sleep)

    def insert(self, machine: Machine, template: str, until: datetime) -> None:
        """Make a machine from a template, and wait until it is there, but no longer than `until`.

        Raises:
            Refused: It is not; the text is Google's.
        """
        request = compute_v1.InsertInstanceRequest(
            project=self.project,
            zone=machine.zone,
            source_instance_template=template,
            # No metadata, not one key: it would replace all of the template's.
            instance_resource=compute_v1.Instance(name=machine.name),
        )
        try:
            operation = self._ask(self.instances.insert_unary, request)
        except _Taken:
            return
        self.wait(machine.zone, operation.name, until)

    def status(self, machine: Machine) -> str | None:
        """How a machine is, such as "RUNNING" or "TERMINATED"; None where there is none."""
        request = compute_v1.GetInstanceRequest(
            project=self.project, zone=machine.zone, instance=machine.name
        )
        try:
            return self._ask(self.instances.get, request).status
        except _Absent:
            return None

    def delete(self, machine: Machine) -> str | None:
        """Begin to delete a machine; the operation's name, or None where there is no machine."""
        request = compute_v1.DeleteInstanceRequest(
            project=self.project, zone=machine.zone, instance=machine.name
        )
        try:
            return self._ask(self.instances.delete_unary, request).name
        except _Absent:
            return None

    def machines(self, prefix: str) -> list[Machine]:
        """The machines of all zones whose names start with `prefix`."""
        request = compute_v1.AggregatedListInstancesRequest(project=self.project)
        scopes = self._ask(self._pages, request)
        return [
            Machine(instance.name, zone.removeprefix("zones/"))
            for zone, scope in scopes
            for instance in scope.instances
            if instance.name.startswith(prefix)
        ]

    def wait(self, zone: str, operation: str, until: datetime) -> None:
        """Wait until an operation is done, but no longer than `until`.

        Raises:
            Refused: It failed, or is not done.
        """
        begun = self.clock()
        request = compute_v1.GetZoneOperationRequest(
            project=self.project, zone=zone, operation=operation
        )
        while True:
            found = self._ask(self.operations.get, request)
            if found.status == compute_v1.Operation.Status.DONE:
                break
            if self.clock() > until:
                raise Refused(f"operation {operation} did not end in time")
            self.sleep(pause(self.clock() - begun, longest=10))
        if found.error.errors:
            raise Refused(" ".join(f"{e.code} {e.message}".strip() for e in found.error.errors))

    def _pages(self, request: Any, **how: Any) -> list[Any]:
        """All zones with what is in them; the client asks for page after page."""
        return list(self.instances.aggregated_list(request, **how))

    def _ask(self, call: Callable[..., _T], request: Any) -> _T:
        """Make a call, again where the same call may succeed later."""
        for seconds in (*_PAUSES, None):
            try:
                return call(request, retry=None, timeout=_TIMEOUT)
            except NotFound as error:
                raise _Absent(_said(error)) from None
            except GoogleAPICallError as error:
                if error.code == 409:
                    raise _Taken(_said(error)) from None
                if seconds is None or not _transient(error):
                    raise Refused(_said(error)) from None
            except (requests.RequestException, GoogleAuthError) as error:
                if seconds is None:
                    kind = type(error).__name__
                    raise Refused(f"no good answer from Compute Engine ({kind})") from None
            self.sleep(seconds)
        raise AssertionError


class _Absent(Refused):
    """There is no such machine, template or operation."""


class _Taken(Refused):
    """There is a machine of this name already."""


def pause(waited: timedelta, longest: float) -> float:
    """Seconds until the next look: an eighth of the time that was waited, within limits."""
    return min(longest, max(1.0, waited.total_seconds() / 8))


def _transient(error: GoogleAPICallError) -> bool:
    return error.code == 429 or (error.code or 0) >= 500


def _said(error: Any) -> str:
    """Status, message and reasons on one line, without the request's address."""
    message: str = error.message.partition(": ")[2] or error.message
    reasons = [str(e["reason"]) for e in error.errors if "reason" in e]
    return " ".join([f"HTTP {error.code}", *message.split(), *reasons])

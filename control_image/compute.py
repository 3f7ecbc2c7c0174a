"""Inserts machines on Compute Engine from a template, watches, lists and deletes them."""

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
from pipeline.errors import PipelineError, UserError
from pipeline.google import LOGIN

Sleep = Callable[[float], None]
"""Takes seconds."""

_TIMEOUT = 60  # seconds for one response
_PAUSES = (2, 4, 8, 16, 32)  # seconds before a call is repeated
# Reasons to try another zone or other hardware: stock-outs, quotas and rates.
# Source: https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-vm-creation
_SHORTAGE = re.compile(
    "RESOURCE_POOL_EXHAUSTED|STOCKOUT|QUOTA|[Qq]uota|rateLimitExceeded|RATE_LIMIT_EXCEEDED|HTTP 429"
)
_T = TypeVar("_T")


class Refused(PipelineError):
    """Compute Engine refused a call, or gave no response to it."""

    @property
    def shortage(self) -> bool:
        """Whether another zone or other hardware may have what is missing here."""
        return _SHORTAGE.search(str(self)) is not None


@dataclass(frozen=True)
class Machine:
    """A machine; its name is unique within its zone only."""

    name: str
    zone: str


@dataclass(frozen=True)
class Compute:
    """Compute Engine in one project. A call that fails for a transient reason is repeated.

    That is safe for inserts as well. No other run uses the name, so if the name is taken, this run
    has inserted the machine and the response was lost.
    """

    project: str
    instances: Any
    operations: Any
    clock: Clock
    sleep: Sleep

    @classmethod
    def open(cls, project: str, clock: Clock, sleep: Sleep) -> Self:
        """Open Compute Engine with the identity that this program runs as."""
        # Google's own tools read another address of the API from this variable, too.
        address = variable("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE").rstrip("/")
        options = ClientOptions(api_endpoint=address or None)
        try:
            instances = compute_v1.InstancesClient(client_options=options)
            operations = compute_v1.ZoneOperationsClient(client_options=options)
        except DefaultCredentialsError:
            raise UserError(f"there are no Google credentials here; {LOGIN}") from None
        return cls(project, instances, operations, clock, sleep)

    def insert(self, machine: Machine, template: str, until: datetime) -> None:
        """Insert a machine from a template, and wait until it exists, but no longer than `until`.

        Raises:
            Refused: It was not created; the text is Google's.
        """
        request = compute_v1.InsertInstanceRequest(
            project=self.project,
            zone=machine.zone,
            source_instance_template=template,
            # No metadata: even one key would replace all of the template's metadata.
            instance_resource=compute_v1.Instance(name=machine.name),
        )
        try:
            operation = self._ask(self.instances.insert_unary, request)
        except _Taken:
            return
        self.wait(machine.zone, operation.name, until)

    def status(self, machine: Machine) -> str | None:
        """The status of a machine, such as "RUNNING"; None if there is no machine."""
        request = compute_v1.GetInstanceRequest(
            project=self.project, zone=machine.zone, instance=machine.name
        )
        try:
            return self._ask(self.instances.get, request).status
        except _Absent:
            return None

    def delete(self, machine: Machine) -> str | None:
        """Start to delete a machine; returns the operation's name, None if there is no machine."""
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
            Refused: It failed, or was not done in time.
        """
        begun = self.clock()
        request = compute_v1.GetZoneOperationRequest(
            project=self.project, zone=zone, operation=operation
        )
        while True:
            current = self._ask(self.operations.get, request)
            if current.status == compute_v1.Operation.Status.DONE:
                break
            if self.clock() > until:
                raise Refused(f"operation {operation} did not end in time")
            self.sleep(pause(self.clock() - begun, longest=10))
        if current.error.errors:
            raise Refused(" ".join(f"{e.code} {e.message}".strip() for e in current.error.errors))

    def _pages(self, request: Any, **options: Any) -> list[Any]:
        """All zones with their instances; the client fetches page after page."""
        return list(self.instances.aggregated_list(request, **options))

    def _ask(self, call: Callable[..., _T], request: Any) -> _T:
        """Make a call; repeat it if it failed for a transient reason."""
        for seconds in (*_PAUSES, None):
            try:
                return call(request, retry=None, timeout=_TIMEOUT)
            except NotFound as error:
                raise _Absent(_message(error)) from None
            except GoogleAPICallError as error:
                if error.code == 409:
                    raise _Taken(_message(error)) from None
                if seconds is None or not _transient(error):
                    raise Refused(_message(error)) from None
            except (requests.RequestException, GoogleAuthError) as error:
                if seconds is None:
                    kind = type(error).__name__
                    raise Refused(f"no response from Compute Engine ({kind})") from None
            self.sleep(seconds)
        raise AssertionError


class _Absent(Refused):
    """There is no such machine, template or operation."""


class _Taken(Refused):
    """There is a machine of this name already."""


def pause(waited: timedelta, longest: float) -> float:
    """Seconds until the next check: an eighth of the time waited so far, at least one."""
    return min(longest, max(1.0, waited.total_seconds() / 8))


def _transient(error: GoogleAPICallError) -> bool:
    return error.code == 429 or (error.code or 0) >= 500


def _message(error: Any) -> str:
    """Status, message and reasons of a refusal on one line, without the request's address."""
    message: str = error.message.partition(": ")[2] or error.message
    reasons = [str(e["reason"]) for e in error.errors if "reason" in e]
    return " ".join([f"HTTP {error.code}", *message.split(), *reasons])

"""A local cloud that breaks on demand, and the client that asks it to.

Calls of the providers fail or hang, before or after their effect. Resources are lost, grants do not
hold, schedules fire out of turn, and the clock is advanced. `python -m tests.local.breakable` runs
it in the background as `local.daemon` does.

A real provider that gives up waiting for what it had begun reports the resource as it is
(ErrorResourceInitFailed), so that the engine knows of it. A fault after the effect does the same. A
response that is lost for good is a call that hangs until its engine is killed.
"""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status
from pulumi.runtime.proto import provider_pb2 as rpc

from local import daemon
from local.client import LONG, Client
from local.cloud import Cloud, fired_as_json
from local.control import Calls
from local.engine.server import Interceptor
from local.gateway.iam import Grant
from local.services.iam.grants import grants
from local.services.scheduler.resources import JOB
from pipeline.errors import UserError

Json = dict[str, Any]
Method = Literal["Create", "Read", "Update", "Delete"]
When = Literal["before", "after"]
_INTERVAL = 0.1  # seconds between two checks whether the engine is still there


@dataclass(frozen=True)
class EngineFault:
    """Fails the next call of `method` on a resource, given by its URN or its type, once.

    With `hang`, the call first waits until the engine is interrupted or gone.
    """

    method: Method
    resource: str
    when: When = "before"
    hang: bool = False


class EngineFaults(Interceptor):
    """The faults to come."""

    def __init__(self) -> None:
        self._left: list[EngineFault] = []
        self._hanging: list[EngineFault] = []
        self._changed = threading.Condition()

    def add(self, fault: EngineFault) -> None:
        """Lets a fault happen once."""
        with self._changed:
            self._left.append(fault)

    def status(self) -> dict[str, Any]:
        """Returns the faults that have not happened yet, and those whose calls hang now."""
        with self._changed:
            return {
                "left": [asdict(fault) for fault in self._left],
                "hanging": [asdict(fault) for fault in self._hanging],
            }

    def around(
        self,
        name: str,
        method: Callable[[Any, grpc.ServicerContext], Any],
        request: Any,
        context: grpc.ServicerContext,
    ) -> Any:
        """Calls the method of this name, with the fault that is due for it."""
        if name == "Cancel":
            self._release()
        fault = self._take(name, request)
        if fault and fault.when == "before":
            self._strike(fault, context)
        response = method(request, context)
        if fault:
            if name == "Create":
                _reveal(response, context)
            self._strike(fault, context)
        return response

    def _take(self, method: str, request: Any) -> EngineFault | None:
        if getattr(request, "preview", False):
            return None
        with self._changed:
            for fault in self._left:
                if fault.method == method and fault.resource in (request.urn, request.type):
                    self._left.remove(fault)
                    return fault
        return None

    def _strike(self, fault: EngineFault, context: grpc.ServicerContext) -> None:
        if fault.hang:
            with self._changed:
                self._hanging.append(fault)
                while fault in self._hanging and context.is_active():
                    self._changed.wait(_INTERVAL)
                if fault in self._hanging:
                    self._hanging.remove(fault)
        raise UserError(f"{fault.method} of {fault.resource}: a requested fault")

    def _release(self) -> None:
        with self._changed:
            self._hanging.clear()
            self._changed.notify_all()


def _reveal(made: rpc.CreateResponse, context: grpc.ServicerContext) -> None:
    """Adds to the error that follows what was made all the same."""
    detail = AnyMessage()
    detail.Pack(
        rpc.ErrorResourceInitFailed(
            id=made.id, properties=made.properties, reasons=["a requested fault"]
        )
    )
    code = grpc.StatusCode.UNKNOWN
    context.set_code(code)
    status = Status(code=code.value[0], message="a fault", details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))


class BreakableCloud(Cloud):
    """A local cloud with more calls."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._faults = EngineFaults()
        self._suspended: set[str] = set()
        super().__init__(*arguments, **options, interceptors=[self._faults])

    def grants(self) -> list[Grant]:
        """Returns the declared grants that are not suspended."""
        declared = grants(self.resources)
        return [grant for name, grant in declared.items() if name not in self._suspended]

    def calls(self) -> Calls:
        """Returns the calls of `BreakableClient`."""
        return {
            **super().calls(),
            ("POST", "fire"): lambda asked: self._fire(asked["job"]),
            ("GET", "grants"): lambda _: self._declared_grants(),
            ("POST", "grants/suspend"): lambda asked: self._suspend(asked["grant"]),
            ("POST", "grants/restore"): lambda asked: self._suspended.discard(asked["grant"]),
            ("POST", "clock"): lambda asked: self.clock.advance_to(
                datetime.fromisoformat(asked["to"])
            ),
            ("POST", "fail"): lambda asked: self._faults.add(EngineFault(**asked)),
            ("GET", "faults"): lambda _: self._faults.status(),
            ("POST", "lose"): lambda asked: self._lose(asked["urn"]),
        }

    def _fire(self, name: str) -> Json:
        self.heal()
        scheduled = self.resources.find(JOB, name)
        if scheduled is None:
            raise UserError(f"there is no scheduler job {name!r}")
        return fired_as_json(self.scheduler.fire(scheduled))

    def _declared_grants(self) -> list[Json]:
        permissions = self.context.policy.permissions
        return [
            {"id": name, **asdict(grant), "permissions": sorted(permissions(grant.role))}
            for name, grant in grants(self.resources).items()
        ]

    def _suspend(self, grant: str) -> None:
        if grant not in grants(self.resources):
            raise UserError(f"no grant {grant!r} is declared")
        self._suspended.add(grant)

    def _lose(self, urn: str) -> None:
        for resource in self.resources.all():
            if resource.urn == urn:
                self.handlers[resource.type].delete(resource.id, resource.outputs)
                self.resources.remove(resource.type, resource.id)
                return
        raise UserError(f"there is no resource {urn}")


class BreakableClient(Client):
    """The calls of a `BreakableCloud`."""

    def fire(self, schedule: str) -> Json:
        """Fires a scheduler job; returns `{"attempt", "execution"}`."""
        return self.call("POST", "fire", {"job": schedule}, LONG).json()

    def grants(self) -> list[Json]:
        """Returns every declared grant: id, member, role, permissions, resource, condition."""
        return self.call("GET", "grants").json()

    def suspend(self, grant: str) -> None:
        """Lets the grant with this id not hold until it is restored, as if it were not declared."""
        self.call("POST", "grants/suspend", {"grant": grant})

    def restore(self, grant: str) -> None:
        """Lets a suspended grant hold again."""
        self.call("POST", "grants/restore", {"grant": grant})

    def advance(self, to: datetime) -> None:
        """Advances the clock to `to` without firing anything."""
        self.call("POST", "clock", {"to": to.isoformat()})

    def fail(
        self, method: Method, resource: str, when: When = "before", *, hang: bool = False
    ) -> None:
        """Lets the next such call on a resource (URN or type) fail."""
        fault = {"method": method, "resource": resource, "when": when, "hang": hang}
        self.call("POST", "fail", fault)

    def faults(self) -> Json:
        """Returns the faults that are `left`, and those `hanging` now."""
        return self.call("GET", "faults").json()

    def lose(self, urn: str) -> None:
        """Removes a resource behind Pulumi's back, as a person with a console would."""
        self.call("POST", "lose", {"urn": urn})


if __name__ == "__main__":
    daemon.main(BreakableCloud)

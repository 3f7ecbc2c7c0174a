"""Faults of the providers on demand: one call fails or hangs, before or after its effect.

A real provider that gives up waiting for what it had begun reports the resource as it is
(ErrorResourceInitFailed), so that the engine knows of it. A fault after the effect does the same. A
response that is lost for good is a call that hangs until its engine is killed.
"""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status
from pulumi.runtime.proto import provider_pb2 as rpc

from pipeline.errors import UserError

Method = Callable[[Any, grpc.ServicerContext], Any]
_INTERVAL = 0.1  # seconds between two checks whether the engine is still there


@dataclass(frozen=True)
class EngineFault:
    """Fails the next call of `method` on a resource, given by its URN or its type, once.

    With `hang`, the call first waits until the engine is interrupted or gone.
    """

    method: Literal["Create", "Read", "Update", "Delete"]
    resource: str
    when: Literal["before", "after"] = "before"
    hang: bool = False


class EngineFaults:
    """The faults to come. The providers make every call through `call`."""

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

    def call(self, name: str, method: Method, request: Any, context: grpc.ServicerContext) -> Any:
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

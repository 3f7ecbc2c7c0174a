"""Bad days of the providers, on demand: one call fails or hangs, before or after its effect.

What fails after its effect is answered as the real providers answer when they gave up waiting for
what they had begun: with the resource as it is (ErrorResourceInitFailed), so that the engine knows
of it. An answer that is lost for good is a call that hangs until its engine is killed.
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

_LOOK = 0.1  # seconds between two looks at whether the engine is still there


@dataclass(frozen=True)
class Fault:
    """Fails the next call of `method` on a resource, given by its URN or its type, once.

    With `hang` it first waits until the engine is interrupted, or is gone.
    """

    method: Literal["Create", "Read", "Update", "Delete"]
    resource: str
    when: Literal["before", "after"] = "before"
    hang: bool = False


class Faults(grpc.ServerInterceptor):
    """The faults to come, around every call of the providers."""

    def __init__(self) -> None:
        self._left: list[Fault] = []
        self._hanging: list[Fault] = []
        self._changed = threading.Condition()

    def add(self, fault: Fault) -> None:
        """Let a fault happen once."""
        with self._changed:
            self._left.append(fault)

    def status(self) -> dict[str, Any]:
        """The faults that have not happened yet, and those whose calls hang now."""
        with self._changed:
            return {
                "left": [asdict(fault) for fault in self._left],
                "hanging": [asdict(fault) for fault in self._hanging],
            }

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Wrap the method that is called."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        name = handler_call_details.method.rpartition("/")[2]

        def call(request: Any, context: Any) -> Any:
            if name == "Cancel":
                self._release()
            fault = self._take(name, request)
            if fault and fault.when == "before":
                self._strike(fault, context)
            response = handler.unary_unary(request, context)
            if fault:
                if name == "Create":
                    _reveal(response, context)
                self._strike(fault, context)
            return response

        return grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _take(self, method: str, request: Any) -> Fault | None:
        if getattr(request, "preview", False):
            return None
        with self._changed:
            for fault in self._left:
                if fault.method == method and fault.resource in (request.urn, request.type):
                    self._left.remove(fault)
                    return fault
        return None

    def _strike(self, fault: Fault, context: grpc.ServicerContext) -> None:
        if fault.hang:
            with self._changed:
                self._hanging.append(fault)
                while fault in self._hanging and context.is_active():
                    self._changed.wait(_LOOK)
                if fault in self._hanging:
                    self._hanging.remove(fault)
        raise UserError(f"{fault.method} of {fault.resource}: a fault that was asked for")

    def _release(self) -> None:
        with self._changed:
            self._hanging.clear()
            self._changed.notify_all()


def _reveal(made: rpc.CreateResponse, context: grpc.ServicerContext) -> None:
    """Let the error that follows tell what was made all the same."""
    detail = AnyMessage()
    detail.Pack(
        rpc.ErrorResourceInitFailed(
            id=made.id, properties=made.properties, reasons=["a fault that was asked for"]
        )
    )
    code = grpc.StatusCode.UNKNOWN
    context.set_code(code)
    status = Status(code=code.value[0], message="a fault", details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))

"""gRPC servers that stand in for the plugins of the providers gcp, docker and docker-build.

Pulumi's engine attaches to them (PULUMI_DEBUG_PROVIDERS) and drives them as it drives the real
plugins. The protocol is pulumi/proto/pulumi/provider.proto. The engine does without the methods
that are not here: all but Attach are optional.
"""

# ruff: noqa: ARG002, N802  gRPC's names and parameters

import functools
import importlib.metadata
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2 as rpc
from pulumi.runtime.proto.plugin_pb2 import PluginAttach, PluginInfo
from pulumi.runtime.proto.provider_pb2_grpc import (
    ResourceProviderServicer,
    add_ResourceProviderServicer_to_server,
)

from local.engine.changes import is_replacing, top
from local.engine.declaration import Declaration
from local.engine.handler import UNKNOWN, Failure, Handler, Json
from local.engine.schema import resource_type
from local.engine.wire import decode, encode, guard, redact, reveal, settle
from local.resources import Resource, ResourceStore
from pipeline.errors import UserError

# The providers, and the SDKs whose versions they report.
PACKAGES = {
    "gcp": "pulumi-gcp",
    "docker": "pulumi-docker",
    "docker-build": "pulumi-docker-build",
}
Invoke = Callable[[Json], Json]
Admission = Callable[[str, Json], None]
"""Raises if the call may not be made. Takes the token of a type or function, and the inputs or
arguments together with the provider's configuration."""

_LARGEST_MESSAGE = 400 * 1024 * 1024
_log = logging.getLogger(__name__)


class Providers:
    """The three providers, each on a port of its own on 127.0.0.1.

    `handlers` has type tokens as keys ("gcp:storage/bucket:Bucket"), `invokes` function tokens
    ("gcp:organizations/getProject:getProject"). Other types and functions are refused. Only `store`
    keeps what exists, so it outlives a restart. `admit` may refuse the creation or change of a
    resource, or the call of a function. `interceptors` may change what a call does.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        invokes: Mapping[str, Invoke],
        store: ResourceStore,
        admit: Admission | None = None,
        interceptors: Sequence[grpc.ServerInterceptor] = (),
    ) -> None:
        self.ports: dict[str, int] = {}
        self._servers: list[grpc.Server] = []
        for package in PACKAGES:
            server = grpc.server(
                ThreadPoolExecutor(8, thread_name_prefix=package),
                interceptors=[_Errors(), *interceptors],
                options=[
                    ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
                    ("grpc.max_send_message_length", _LARGEST_MESSAGE),
                ],
            )
            provider = Provider(package, handlers, invokes, store, admit or _anything)
            add_ResourceProviderServicer_to_server(provider, server)
            self.ports[package] = server.add_insecure_port("127.0.0.1:0")
            self._servers.append(server)

    def start(self) -> None:
        """Starts to serve at `ports`."""
        for server in self._servers:
            server.start()

    def stop(self) -> None:
        """Stops serving and ends the calls under way."""
        for server in self._servers:
            server.stop(grace=None).wait()


def _anything(_token: str, _inputs: Json) -> None:
    """Admits every call."""


class Interceptor(grpc.ServerInterceptor):
    """Wraps every call of the providers; a subclass decides how in `around`."""

    def around(
        self,
        name: str,
        method: Callable[[Any, grpc.ServicerContext], Any],
        request: Any,
        context: grpc.ServicerContext,
    ) -> Any:
        """Calls the method of this name, such as "Create", and returns its response."""
        raise NotImplementedError

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Wraps the method that is called."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None  # This version of the protocol has no such method.
        name: str = handler_call_details.method.rpartition("/")[2]
        return grpc.unary_unary_rpc_method_handler(
            functools.partial(self.around, name, handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


class _Errors(Interceptor):
    """Turns whatever a call raises into a gRPC error of one line, which the CLI shows."""

    def around(
        self,
        name: str,
        method: Callable[[Any, grpc.ServicerContext], Any],
        request: Any,
        context: Any,
    ) -> Any:
        """Calls the method; aborts with the first line of what it raises."""
        try:
            return method(request, context)
        except UserError as error:
            line = str(error)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            _log.debug("%s failed", name, exc_info=True)
            line = f"{type(error).__name__}: {error}"
        first = next(iter(line.splitlines()), "")
        # For a method that is not here, the base class has set UNIMPLEMENTED.
        code = context.code() or grpc.StatusCode.UNKNOWN
        return context.abort(code, redact(first, _given(request)))


def _given(request: Any) -> Json:
    """Returns all values of a request, which tell its secrets."""
    fields = request.ListFields()
    return {field.name: decode(value) for field, value in fields if isinstance(value, Struct)}


class Provider(ResourceProviderServicer):
    """One provider: translates between the protocol and the handlers."""

    def __init__(
        self,
        package: str,
        handlers: Mapping[str, Handler],
        invokes: Mapping[str, Invoke],
        store: ResourceStore,
        admit: Admission,
    ) -> None:
        self._package = package
        self._handlers = handlers
        self._invokes = invokes
        self._store = store
        self._admit = admit
        # By connection: the engine opens one for each provider resource, such as one per project.
        self._configurations: dict[str, Json] = {}

    def Attach(self, request: PluginAttach, context: grpc.ServicerContext) -> Empty:
        """Accepts an engine. Any number may attach."""
        return Empty()

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> PluginInfo:
        """Reports the version of the SDK whose types are the schema."""
        return PluginInfo(version=importlib.metadata.version(PACKAGES[self._package]))

    def Configure(
        self, request: rpc.ConfigureRequest, context: grpc.ServicerContext
    ) -> rpc.ConfigureResponse:
        """Keeps the configuration of this connection."""
        given: Json = reveal(decode(request.args))
        # The SDKs send whatever is neither text nor secret as JSON within a text.
        self._configurations[context.peer()] = {
            key: json.loads(value) if str(value).startswith("{") else value
            for key, value in given.items()
        }
        return rpc.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: rpc.CheckRequest, context: grpc.ServicerContext) -> rpc.CheckResponse:
        """Checks inputs against the SDK's types, completes them, and has the handler check them."""
        given = decode(request.news)
        if request.type not in self._handlers or resource_type(request.type) is None:
            reason = f"the local cloud has no {request.type}; declare it only for Google Cloud"
            return _refusal([("", reason)], given)
        declaration = self._declaration(request.type, context)
        if failures := declaration.mistyped(reveal(given)):
            return _refusal(failures, given)
        prepared = declaration.prepare(request.name, reveal(given), reveal(decode(request.olds)))
        if failures := declaration.refused(prepared):
            return _refusal(failures, given)
        return rpc.CheckResponse(inputs=encode(guard(prepared, given)))

    def Diff(self, request: rpc.DiffRequest, context: grpc.ServicerContext) -> rpc.DiffResponse:
        """Tells what changed, and whether that needs a new resource."""
        declaration = self._declaration(request.type, context)
        inputs: Json = reveal(decode(request.news))
        found = declaration.diff(
            reveal(decode(request.old_inputs)),
            reveal(decode(request.olds)),
            inputs,
            request.ignoreChanges,
        )
        replacing = [path for path, change in found.items() if is_replacing(change)]
        return rpc.DiffResponse(
            changes=rpc.DiffResponse.DIFF_SOME if found else rpc.DiffResponse.DIFF_NONE,
            diffs=sorted({top(path) for path in found}),
            replaces=sorted({top(path) for path in replacing}),
            detailedDiff=found,
            hasDetailedDiff=True,
            deleteBeforeReplace=bool(replacing) and declaration.is_named_by_program(inputs),
        )

    def Create(
        self, request: rpc.CreateRequest, context: grpc.ServicerContext
    ) -> rpc.CreateResponse:
        """Creates a resource, which is stored once its handler has made it."""
        declaration = self._declaration(request.type, context)
        given = decode(request.properties)
        inputs: Json = reveal(given)
        if request.preview:
            outputs = declaration.foreseen(inputs)
            return rpc.CreateResponse(properties=encode(guard(outputs, given)))
        complete = declaration.complete(inputs)
        self._admit(request.type, {**declaration.configuration, **complete})
        id_, made = declaration.handler.create(request.name, complete)
        outputs = declaration.outputs(inputs, made)
        keep = self._store.put if declaration.handler.additive else self._store.add
        keep(_resource(request, id_, complete, outputs))
        return rpc.CreateResponse(id=id_, properties=encode(guard(outputs, given)))

    def Update(
        self, request: rpc.UpdateRequest, context: grpc.ServicerContext
    ) -> rpc.UpdateResponse:
        """Changes a resource in place."""
        declaration = self._declaration(request.type, context)
        given = decode(request.news)
        inputs: Json = reveal(given)
        old_outputs: Json = reveal(decode(request.olds))
        kept = declaration.kept(reveal(decode(request.old_inputs)), old_outputs)
        if request.preview:
            renewed = dict.fromkeys(declaration.handler.renewed, UNKNOWN)
            outputs = settle(declaration.outputs(inputs, renewed, kept))
        else:
            complete = declaration.complete(inputs)
            self._admit(request.type, {**declaration.configuration, **complete})
            made = declaration.handler.update(request.id, old_outputs, complete)
            outputs = declaration.outputs(inputs, made, kept)
            self._store.put(_resource(request, request.id, complete, outputs))
        return rpc.UpdateResponse(properties=encode(guard(outputs, given)))

    def Read(self, request: rpc.ReadRequest, context: grpc.ServicerContext) -> rpc.ReadResponse:
        """Reads a resource as it is now. An empty response says that it is gone."""
        declaration = self._declaration(request.type, context)
        known = self._store.get(request.type, request.id)
        outputs = known and declaration.handler.read(request.id, known.outputs)
        if known is None or outputs is None:
            self._store.remove(request.type, request.id)
            return rpc.ReadResponse()
        self._store.put(known.model_copy(update={"outputs": outputs}))
        return rpc.ReadResponse(
            id=request.id,
            inputs=request.inputs if request.inputs.fields else encode(known.inputs),
            properties=encode(guard(outputs, _given(request)["properties"])),
        )

    def Delete(self, request: rpc.DeleteRequest, context: grpc.ServicerContext) -> Empty:
        """Removes a resource. The handler decides whether one that is gone is an error."""
        declaration = self._declaration(request.type, context)
        known = self._store.get(request.type, request.id)
        outputs = known.outputs if known else reveal(decode(request.properties))
        declaration.handler.delete(request.id, outputs)
        self._store.remove(request.type, request.id)
        return Empty()

    def Invoke(
        self, request: rpc.InvokeRequest, context: grpc.ServicerContext
    ) -> rpc.InvokeResponse:
        """Calls a function with its arguments and the provider's project, region and zone."""
        if request.tok not in self._invokes:
            raise UserError(f"the local cloud has no function {request.tok}")
        arguments = {**self._configuration(context), **reveal(decode(request.args))}
        self._admit(request.tok, arguments)
        result = self._invokes[request.tok](arguments)
        response: Any = {"return": encode(result)}  # `return` is a keyword of Python.
        return rpc.InvokeResponse(**response)

    def _declaration(self, token: str, context: grpc.ServicerContext) -> Declaration:
        handler, declared = self._handlers.get(token), resource_type(token)
        if handler is None or declared is None:
            raise UserError(f"the local cloud has no {token}")
        return Declaration(declared, handler, self._configuration(context))

    def _configuration(self, context: grpc.ServicerContext) -> Json:
        return self._configurations.get(context.peer(), {})


def _resource(
    request: rpc.CreateRequest | rpc.UpdateRequest, id_: str, inputs: Json, outputs: Json
) -> Resource:
    return Resource(urn=request.urn, type=request.type, id=id_, inputs=inputs, outputs=outputs)


def _refusal(failures: list[Failure], given: Json) -> rpc.CheckResponse:
    # The reason includes the path. For a `property` of the response the engine would also print the
    # value: "<nil>" where the path is nested, and a secret in the clear.
    reasons = (redact(f"{path}: {reason}" if path else reason, given) for path, reason in failures)
    return rpc.CheckResponse(failures=[rpc.CheckFailure(reason=reason) for reason in reasons])

"""gRPC servers that stand in for the plugins of the providers gcp, docker and docker-build.

Pulumi's engine attaches to them (PULUMI_DEBUG_PROVIDERS) and drives them as it drives the real
plugins; the protocol is pulumi/proto/pulumi/provider.proto.
"""

# ruff: noqa: ARG002, N802  gRPC's names and parameters

import importlib.metadata
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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

from local.provider.changes import is_replacing, top
from local.provider.declaration import Declaration
from local.provider.faults import Faults
from local.provider.kinds import UNKNOWN, Json, Kind
from local.provider.schema import Fault, resource_type
from local.provider.wire import Secret, decode, encode, guard, redact, reveal, settle
from local.resources import Resource, ResourceStore
from pipeline.errors import UserError

# The providers, and the SDKs whose versions they bear.
PACKAGES = {
    "gcp": "pulumi-gcp",
    "docker": "pulumi-docker",
    "docker-build": "pulumi-docker-build",
}
Invoke = Callable[[Json], Json]
# Given a token, and the inputs or arguments over the provider's configuration; raises a refusal.
Admission = Callable[[str, Json], None]

_LARGEST_MESSAGE = 400 * 1024 * 1024
_log = logging.getLogger(__name__)


class Providers:
    """The three providers, each on a port of its own on 127.0.0.1.

    `kinds` is by type token ("gcp:storage/bucket:Bucket"), `invokes` by function token
    ("gcp:organizations/getProject:getProject"); other types and functions are refused. What exists
    is kept in `store` alone, so it outlives a restart. `admit` may refuse a creation, a change or a
    function's call; everything is admitted without it.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        invokes: Mapping[str, Invoke],
        store: ResourceStore,
        admit: Admission | None = None,
    ) -> None:
        self.ports: dict[str, int] = {}
        self.faults = Faults()
        self._kinds = kinds
        self._store = store
        self._servers: list[grpc.Server] = []
        for package in PACKAGES:
            server = grpc.server(
                ThreadPoolExecutor(8, thread_name_prefix=package),
                interceptors=[_Plainly(), self.faults],
                options=[
                    ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
                    ("grpc.max_send_message_length", _LARGEST_MESSAGE),
                ],
            )
            provider = Provider(package, kinds, invokes, store, admit or _anything)
            add_ResourceProviderServicer_to_server(provider, server)
            self.ports[package] = server.add_insecure_port("127.0.0.1:0")
            self._servers.append(server)

    def start(self) -> None:
        """Answer at `ports`."""
        for server in self._servers:
            server.start()

    def stop(self) -> None:
        """Answer no more; calls under way are ended."""
        for server in self._servers:
            server.stop(grace=None).wait()

    def lose(self, urn: str) -> None:
        """Remove a resource behind the engine's back, as a person with a console would."""
        for resource in self._store.all():
            if resource.urn == urn:
                self._kinds[resource.type].delete(resource.id, resource.outputs)
                self._store.remove(resource.type, resource.id)
                return
        raise UserError(f"there is no resource {urn}")


def _anything(token: str, inputs: Json) -> None:
    """Admit whatever comes."""
    del token, inputs


class _Plainly(grpc.ServerInterceptor):
    """Turns what a kind raises into a gRPC error of one line, which the CLI shows."""

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Wrap the method that is called."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None  # a method that this version of the protocol does not have
        method = handler.unary_unary

        def call(request: Any, context: Any) -> Any:
            try:
                return method(request, context)
            except UserError as error:
                line = str(error)
            except Exception as error:  # noqa: BLE001  a kind may raise anything
                _log.debug("%s failed", handler_call_details.method, exc_info=True)
                line = f"{type(error).__name__}: {error}"
            first = next(iter(line.splitlines()), "")
            code = context.code() or grpc.StatusCode.UNKNOWN  # the base class says UNIMPLEMENTED
            return context.abort(code, redact(first, _given(request)))

        return grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _given(request: Any) -> Json:
    """All values of a request, to know its secrets."""
    fields = request.ListFields()
    return {field.name: decode(value) for field, value in fields if isinstance(value, Struct)}


class Provider(ResourceProviderServicer):
    """One provider: translates between the protocol and the kinds."""

    def __init__(
        self,
        package: str,
        kinds: Mapping[str, Kind],
        invokes: Mapping[str, Invoke],
        store: ResourceStore,
        admit: Admission,
    ) -> None:
        self._package = package
        self._kinds = kinds
        self._invokes = invokes
        self._store = store
        self._admit = admit
        # By connection: the engine opens one for each provider resource, such as one per project.
        self._configurations: dict[str, Json] = {}

    def Handshake(
        self, request: rpc.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> rpc.ProviderHandshakeResponse:
        """Say what of the protocol is understood: secrets, but no resource references."""
        return rpc.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: PluginAttach, context: grpc.ServicerContext) -> Empty:
        """Serve an engine; any number may attach."""
        return Empty()

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> PluginInfo:
        """Bear the version of the SDK, whose types are the schema."""
        return PluginInfo(version=importlib.metadata.version(PACKAGES[self._package]))

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        """Let what is under way come to its end."""
        return Empty()

    def CheckConfig(
        self, request: rpc.CheckRequest, context: grpc.ServicerContext
    ) -> rpc.CheckResponse:
        """Take any configuration."""
        return rpc.CheckResponse(inputs=request.news)

    def DiffConfig(
        self, request: rpc.DiffRequest, context: grpc.ServicerContext
    ) -> rpc.DiffResponse:
        """A changed configuration is kept; what it means, each resource's Diff says."""
        same = request.old_inputs == request.news
        return rpc.DiffResponse(
            changes=rpc.DiffResponse.DIFF_NONE if same else rpc.DiffResponse.DIFF_SOME
        )

    def Configure(
        self, request: rpc.ConfigureRequest, context: grpc.ServicerContext
    ) -> rpc.ConfigureResponse:
        """Keep the configuration of this connection."""
        given: Json = reveal(decode(request.args))
        # The SDKs send what is neither text nor secret as JSON within a text.
        self._configurations[context.peer()] = {
            key: json.loads(value) if str(value).startswith("{") else value
            for key, value in given.items()
        }
        return rpc.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: rpc.CheckRequest, context: grpc.ServicerContext) -> rpc.CheckResponse:
        """Check inputs against the SDK's types, complete them, and have the kind check them."""
        given = decode(request.news)
        if request.type not in self._kinds or resource_type(request.type) is None:
            reason = f"the local cloud has no {request.type}; declare it only where Google is"
            return _refusal([("", reason)], given)
        declaration = self._declaration(request.type, context)
        if faults := declaration.mistyped(reveal(given)):
            return _refusal(faults, given)
        prepared = declaration.prepare(request.name, reveal(given), reveal(decode(request.olds)))
        if faults := declaration.refused(prepared):
            return _refusal(faults, given)
        return rpc.CheckResponse(inputs=encode(guard(prepared, given)))

    def Diff(self, request: rpc.DiffRequest, context: grpc.ServicerContext) -> rpc.DiffResponse:
        """Say what changed, and whether it needs a new resource."""
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
        """Realise a resource; it is kept only when its kind has made it."""
        declaration = self._declaration(request.type, context)
        given = decode(request.properties)
        inputs: Json = reveal(given)
        if request.preview:
            outputs = declaration.foreseen(inputs)
            return rpc.CreateResponse(properties=self._sealed(declaration, outputs, given))
        complete = declaration.complete(inputs)
        self._admit(request.type, {**declaration.configuration, **complete})
        id_, made = declaration.kind.create(request.name, complete)
        outputs = declaration.outputs(inputs, made)
        keep = self._store.put if declaration.kind.additive else self._store.add
        keep(Resource(request.urn, request.type, id_, complete, outputs))
        return rpc.CreateResponse(id=id_, properties=self._sealed(declaration, outputs, given))

    def Update(
        self, request: rpc.UpdateRequest, context: grpc.ServicerContext
    ) -> rpc.UpdateResponse:
        """Change a resource in place."""
        declaration = self._declaration(request.type, context)
        given = decode(request.news)
        inputs: Json = reveal(given)
        old_outputs: Json = reveal(decode(request.olds))
        kept = declaration.kept(reveal(decode(request.old_inputs)), old_outputs)
        if request.preview:
            renewed = dict.fromkeys(declaration.kind.renewed, UNKNOWN)
            outputs = settle(declaration.outputs(inputs, renewed, kept))
        else:
            complete = declaration.complete(inputs)
            self._admit(request.type, {**declaration.configuration, **complete})
            made = declaration.kind.update(request.id, old_outputs, complete)
            outputs = declaration.outputs(inputs, made, kept)
            self._store.put(Resource(request.urn, request.type, request.id, complete, outputs))
        return rpc.UpdateResponse(properties=self._sealed(declaration, outputs, given))

    def Read(self, request: rpc.ReadRequest, context: grpc.ServicerContext) -> rpc.ReadResponse:
        """Look at a resource as it is: an empty answer says that it is gone."""
        declaration = self._declaration(request.type, context)
        known = self._store.get(request.type, request.id)
        outputs = known and declaration.kind.read(request.id, known.outputs)
        if known is None or outputs is None:
            self._store.remove(request.type, request.id)
            return rpc.ReadResponse()
        self._store.put(replace(known, outputs=outputs))
        return rpc.ReadResponse(
            id=request.id,
            inputs=request.inputs if request.inputs.fields else encode(known.inputs),
            properties=self._sealed(declaration, outputs, _given(request)["properties"]),
        )

    def Delete(self, request: rpc.DeleteRequest, context: grpc.ServicerContext) -> Empty:
        """Remove a resource; whether one that is gone is an error, its kind says."""
        declaration = self._declaration(request.type, context)
        known = self._store.get(request.type, request.id)
        outputs = known.outputs if known else reveal(decode(request.properties))
        declaration.kind.delete(request.id, outputs)
        self._store.remove(request.type, request.id)
        return Empty()

    def Invoke(
        self, request: rpc.InvokeRequest, context: grpc.ServicerContext
    ) -> rpc.InvokeResponse:
        """Answer a function, which is given the provider's project, region and zone, too."""
        if request.tok not in self._invokes:
            raise UserError(f"the local cloud does not answer {request.tok}")
        arguments = {**self._configuration(context), **reveal(decode(request.args))}
        self._admit(request.tok, arguments)
        answer = self._invokes[request.tok](arguments)
        response: Any = {"return": encode(answer)}  # a word of Python's own
        return rpc.InvokeResponse(**response)

    def _declaration(self, token: str, context: grpc.ServicerContext) -> Declaration:
        kind, declared = self._kinds.get(token), resource_type(token)
        if kind is None or declared is None:
            raise UserError(f"the local cloud has no {token}")
        return Declaration(declared, kind, self._configuration(context))

    def _configuration(self, context: grpc.ServicerContext) -> Json:
        return self._configurations.get(context.peer(), {})

    def _sealed(self, declaration: Declaration, outputs: Json, given: Json) -> Struct:
        """Outputs for the engine, secret where they come from secrets."""
        sealed = guard(outputs, given)
        for name in declaration.kind.secret_outputs & sealed.keys():
            sealed[name] = Secret(outputs[name])
        return encode(sealed)


def _refusal(faults: list[Fault], given: Json) -> rpc.CheckResponse:
    # The path stands in the reason: the engine would print the value of a `property` beside it,
    # "<nil>" where the path is nested, and in the clear where it is a secret.
    reasons = (redact(f"{path}: {reason}" if path else reason, given) for path, reason in faults)
    return rpc.CheckResponse(failures=[rpc.CheckFailure(reason=reason) for reason in reasons])

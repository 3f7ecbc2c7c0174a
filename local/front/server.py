"""The one address of the local cloud: leads each request to who answers it."""

import dataclasses
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs

from local import discovery, iam
from local.front.faults import Faults
from local.front.metadata import Identities, Identity
from local.front.partial import partial
from local.front.refusal import Refused
from local.front.secretmanager import SecretManager
from local.front.storage import Finalized, Storage
from local.front.upstream import Upstream
from local.iam import Policy
from local.secrets import Secrets
from local.web import Body, Connection, Request, Response, Server
from pipeline.clock import Clock

_LARGE = 1 << 20
# Paths that are no API of Google's: the machine's own, and the HTTP API of registries.
_NOT_GOOGLES = re.compile(r"/(as|run|v2)/")


class Respond(Protocol):
    """How a route answers, once; a body in parts is sent part by part as it is made."""

    def __call__(
        self, status: int, body: bytes | Iterable[bytes], kind: str = "application/json"
    ) -> None:
        """Send the answer; `kind` is its media type."""
        ...


Route = Callable[[str, str, bytes, Respond], None]
"""Takes method, path with its query, body, and how to answer."""


Api = Callable[[re.Match[str], Request, str], Response]
"""Takes the match of its path, a request, and the member that makes it; may raise Refused."""


class Front:
    """Google Cloud's front door on one port of this machine.

    `on_finalize` is called for every new generation of an object, on the writer's own thread and
    before it is answered: it must be quick and must not raise. `routes` are further paths, by
    prefix.
    """

    def __init__(
        self,
        port: int,
        upstream: str,
        policy: Policy,
        project: str,
        clock: Clock,
        on_finalize: Finalized,
        secrets: Secrets,
        routes: Mapping[str, Route] | None = None,
    ) -> None:
        self.faults = Faults()
        self._project = project
        self._upstream = upstream
        self._identities = Identities(project)
        self._storage = Storage(policy, clock, on_finalize)
        self._secret_manager = SecretManager(project, policy, secrets)
        self._routes = routes or {}
        self._apis: dict[str, tuple[Api, bool]] = {}
        front = self

        class BoundConnection(_Connection):
            """A connection of this front."""

            def __init__(self, *args: Any) -> None:
                self.front = front
                super().__init__(*args)

        self._server = Server(port, BoundConnection)
        self.port = self._server.port
        self.url = self._server.url

    def start(self) -> None:
        """Answer from now on, on threads of its own."""
        self._server.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.stop()

    def identity(
        self, name: str, email: str, metadata: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Let an execution act as the account `email`; returns what its environment needs.

        `metadata` are further values that its metadata server knows, such as `instance/name`.
        """
        self._identities.register(name, Identity(email, metadata or {}))
        server = f"127.0.0.1:{self.port}/as/{name}"
        return {
            "API_ENDPOINT_OVERRIDE": self.url,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{self.url}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": f"{self.url}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": f"{self.url}/",
            "GCE_METADATA_HOST": server,
            # Without it google.auth asks a fixed address whether it is on Google's machines.
            "GCE_METADATA_IP": server,
            "GOOGLE_CLOUD_PROJECT": self._project,
            "REGISTRY_ENDPOINT_OVERRIDE": self.url,
        }

    def serve(self, path: str, api: Api, *, anonymous: bool = False) -> None:
        """Let `api` answer the paths that match a regular expression, before Secret Manager.

        Where callers may be anonymous, one without credentials is the member `allUsers`.
        """
        self._apis[path] = (api, anonymous)

    def token(self, email: str) -> str:
        """A bearer token of the account, for a client within this process."""
        return self._identities.token(email)

    def connect(self) -> Upstream:
        """A connection to the storage server."""
        return Upstream(self._upstream)

    def route(self, path: str) -> Route | None:
        """Who answers `path`, of the routes given."""
        fitting = (route for prefix, route in self._routes.items() if path.startswith(prefix))
        return next(fitting, None)

    def answer(self, request: Request, connection: "_Connection") -> Response:
        """The answer to a request of a program; raises Refused."""
        if match := re.match(r"/as/([^/]+)(/.*)?$", request.path):
            return self._metadata(match[1], match[2] or "/", request)
        # Only the data of resumable uploads is large, and it is passed on as it comes.
        streams = request.method == "PUT" and request.body.left >= _LARGE
        body = None if streams else request.body.read()
        if body is not None:
            request = dataclasses.replace(request, body=Body(io.BytesIO(body), len(body)))
        method = discovery.find(request.method, request.path)
        if method is None:
            if _NOT_GOOGLES.match(request.path):
                return self._answer(request, body, connection)
            call = f"{request.method} {request.path}"
            raise _misfit(404, [f"no API of Google's has {call}"])
        kind = request.headers.get("Content-Type", "")
        if misfits := method.request(request.query, kind, body or b""):
            raise _misfit(400, misfits)
        return _fitting(method, request, self._answer(request, body, connection))

    def _answer(self, request: Request, body: bytes | None, connection: "_Connection") -> Response:
        authorization = request.headers.get("Authorization", "")
        for path, (api, anonymous) in self._apis.items():
            if match := re.fullmatch(path, request.path):
                who = iam.ALL_USERS if anonymous and not authorization else None
                return api(match, request, who or self._identities.member(authorization))
        if request.path.startswith("/v1/"):
            member = self._identities.member(authorization)
            return self._secret_manager.answer(request, member)
        # Cloud Storage takes callers without credentials, where a grant does.
        member = self._identities.member(authorization) if authorization else iam.ALL_USERS
        call = self._storage.classify(request, body or b"")
        fault = self.faults.take(call)
        if fault and fault.when == "before":
            fault.strike(connection.cut)
        response = self._storage.answer(call, member, request, body, connection.upstream)
        if fault:
            fault.strike(connection.cut)
        return response

    def _metadata(self, name: str, path: str, request: Request) -> Response:
        flavor = ("Metadata-Flavor", "Google")
        if path != "/" and request.headers.get(flavor[0]) != flavor[1]:
            raise Refused(403, "forbidden", "the header Metadata-Flavor: Google is missing")
        answer = self._identities.answer(name, path)
        return Response(200, answer.body, [flavor, ("Content-Type", answer.kind)])


def _fitting(method: discovery.Method, request: Request, response: Response) -> Response:
    """An answer that fits the method's document, and of it the fields that were asked for."""
    if response.status >= 300 or not isinstance(response.body, bytes):
        return response
    kind = next((v for k, v in response.headers if k.lower() == "content-type"), "")
    if misfits := method.answer(request.query, kind, response.body):
        raise _misfit(501, misfits)
    fields = parse_qs(request.query).get("fields")
    if not fields or "json" not in kind:
        return response
    part = json.dumps(partial(fields[0], json.loads(response.body))).encode()
    return dataclasses.replace(response, body=part)


def _misfit(code: int, misfits: list[str]) -> Refused:
    discovery.report(misfits)
    return Refused(code, "notAsDocumented", "; ".join(misfits))


class _Connection(Connection):
    """One program's connection, with its own to the storage server."""

    front: Front
    upstream: Upstream

    def setup(self) -> None:
        super().setup()
        self.upstream = self.front.connect()

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def serve(self, request: Request) -> Response | None:
        if route := self.front.route(request.path):
            route(self.command, self.path, request.body.read(), self.respond)
            return None
        try:
            return self.front.answer(request, self)
        except Refused as refused:
            return Response(refused.code, refused.body(), [("Content-Type", "application/json")])

    def respond(
        self, status: int, body: bytes | Iterable[bytes], kind: str = "application/json"
    ) -> None:
        self.send(Response(status, body, [("Content-Type", kind)]))

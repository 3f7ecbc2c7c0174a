"""The one address of the local cloud: leads each call to the service that responds to it."""

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from local.gateway import discovery, iam, metadata
from local.gateway.errors import HttpError
from local.gateway.fields import partial
from local.gateway.metadata import Identities, Identity
from local.gateway.server import Request, Response, Server

# Paths outside Google's APIs: the machine's own, Cloud Run's services, and registries.
_NOT_GOOGLES = re.compile(r"/(as|local|run|v2)/")

Api = Callable[[re.Match[str], Request, str], Response]
"""Takes the match of its path, a request, and the member that makes it; may raise HttpError."""


class Gateway:
    """Serves the APIs of Google Cloud on one port of this machine."""

    def __init__(self, port: int, project: str) -> None:
        self._project = project
        self._identities = Identities(project)
        self._apis: dict[str, tuple[Api, bool]] = {}
        self._server = Server(port, self._respond)
        self.port = self._server.port
        self.url = self._server.url
        self.serve(metadata.PATH, self._identities.respond, anonymous=True)

    def start(self) -> None:
        """Serve from now on, on threads of its own."""
        self._server.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.stop()

    def serve(self, path: str, api: Api, *, anonymous: bool = False) -> None:
        """Let `api` respond on the paths that match a regular expression.

        With `anonymous`, a caller without credentials is the member `allUsers`.
        """
        self._apis[path] = (api, anonymous)

    def identity(
        self, name: str, email: str, metadata: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Let an execution act as the account `email`; returns the environment that it needs.

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

    def token(self, email: str) -> str:
        """Make a bearer token for an account, for a client within this process."""
        return self._identities.token(email)

    def member(self, authorization: str) -> str:
        """The member that sends this Authorization header; HttpError (401) if unknown."""
        return self._identities.member(authorization)

    def _respond(self, request: Request) -> Response:
        """Hold request and response to Google's discovery documents."""
        method = discovery.find(request.method, request.path)
        if method is None:
            if _NOT_GOOGLES.match(request.path):
                return self._call(request)
            raise _misfit(404, [f"no API of Google's has {request.method} {request.path}"])
        # The data of a resumable upload is large and no JSON: it is passed on as it arrives.
        uploads = request.method == "PUT" and "upload_id=" in request.query
        body = b"" if uploads else request.body.peek()
        kind = request.headers.get("Content-Type", "")
        if misfits := method.request(request.query, kind, body):
            raise _misfit(400, misfits)
        return _fitting(method, request, self._call(request))

    def _call(self, request: Request) -> Response:
        for path, (api, anonymous) in self._apis.items():
            if match := re.fullmatch(path, request.path):
                authorization = request.headers.get("Authorization", "")
                nobody = anonymous and not authorization
                member = iam.ALL_USERS if nobody else self.member(authorization)
                return api(match, request, member)
        raise not_implemented(request)


def not_implemented(request: Request) -> HttpError:
    """The error for a call of Google's that the local cloud does not play."""
    call = f"{request.method} {request.path}"
    return HttpError(501, "notImplemented", f"the local cloud does not know {call}")


def _fitting(method: discovery.Method, request: Request, response: Response) -> Response:
    """A response that fits the method's document, cut down to the fields that were asked for."""
    if response.status >= 300 or not isinstance(response.body, bytes):
        return response
    kind = next((v for k, v in response.headers if k.lower() == "content-type"), "")
    if misfits := method.response(request.query, kind, response.body):
        raise _misfit(501, misfits)
    fields = parse_qs(request.query).get("fields")
    if not fields or "json" not in kind:
        return response
    part = json.dumps(partial(fields[0], json.loads(response.body))).encode()
    return dataclasses.replace(response, body=part)


def _misfit(code: int, misfits: list[str]) -> HttpError:
    discovery.report(misfits)
    return HttpError(code, "notAsDocumented", "; ".join(misfits))

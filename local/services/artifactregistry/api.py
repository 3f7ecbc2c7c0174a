"""The registry's HTTP API, as far as manifests go.

It has one address for the hosts of all locations. It cannot show the layers of images, which the
container runtime takes from a folder: a push may begin an upload here, and no more.
Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#endpoints
"""

import hashlib
import json
import re

from local.gateway import iam
from local.gateway.server import Request, Response
from local.services.artifactregistry.resources import REPOSITORY, uri
from local.services.context import Context

PATH = (
    r"/v2/(?:(?P<project>[^/]+)/(?P<repository>[^/]+)/(?P<image>[^:]+)/"
    r"(?:manifests/(?P<reference>[^/]+)|blobs/uploads/))?"
)
_DOWNLOAD = "artifactregistry.repositories.downloadArtifacts"
_UPLOAD = "artifactregistry.repositories.uploadArtifacts"


class Registry:
    """Serves `PATH`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def respond(self, match: re.Match[str], request: Request, member: str) -> Response:
        """Serves a call. A caller without credentials is `allUsers`, and is asked for them."""
        if member == iam.ALL_USERS:
            challenge = f'Bearer realm="{request.base}/v2/token",service="{request.base}"'
            return _refused(401, "UNAUTHORIZED", "authentication required", challenge)
        if match["project"] is None:
            return Response.json(200, {})
        place = self._repository(match["project"], match["repository"])
        if place is None:
            return _refused(404, "NAME_UNKNOWN", f"Repository {match['repository']!r} not found")
        name, address = place
        image = f"{address}/{match['image']}"
        try:
            return self._respond(name, image, match["reference"], request, member)
        except iam.Denied as denied:
            return _refused(403, "DENIED", str(denied))

    def _respond(
        self, repository: str, image: str, reference: str | None, request: Request, member: str
    ) -> Response:
        require = self._context.policy.require
        if reference is None and request.method == "POST":
            require(member, _UPLOAD, repository)
            location = f"{request.path}{self._context.timestamp()}"
            return Response(202, b"", [("Location", location)])
        if reference is not None and request.method in ("GET", "HEAD"):
            require(member, _DOWNLOAD, repository)
            return self._get(_full(image, reference), request)
        if reference is not None and request.method == "PUT":
            require(member, _UPLOAD, repository)
            if not reference.startswith("sha256:"):
                exists = self._context.runtime.resolve(_full(image, reference)) is not None
                verb = "update" if exists else "create"
                require(member, f"artifactregistry.tags.{verb}", repository)
            return self._put(_full(image, reference), request)
        return _refused(405, "UNSUPPORTED", f"{request.method} {request.path} is not known here")

    def _get(self, name: str, request: Request) -> Response:
        found = self._context.runtime.manifest(name)
        accepted = re.split(r"\s*,\s*", request.headers.get("Accept", ""))
        # A registry also answers 404 where the client does not accept the manifest's media type.
        if found is None or not {found[1], "*/*"} & {*accepted}:
            return _refused(404, "MANIFEST_UNKNOWN", f"Failed to fetch {name}")
        data, media_type = found
        headers = [("Content-Type", media_type), ("Docker-Content-Digest", _digest(data))]
        return Response(200, data, headers)

    def _put(self, name: str, request: Request) -> Response:
        data = request.body.read()
        try:
            media_type = json.loads(data)["mediaType"]
        except (ValueError, KeyError, TypeError):
            return _refused(400, "MANIFEST_INVALID", "the manifest is no JSON with a mediaType")
        if media_type != request.headers.get("Content-Type"):
            return _refused(400, "MANIFEST_INVALID", f"Content-Type is not {media_type}")
        if "@" in name and name.rpartition("@")[2] != _digest(data):
            return _refused(400, "DIGEST_INVALID", "the digest is not that of the manifest")
        digest = self._context.runtime.take(name, data)
        if digest is None:
            return _refused(400, "MANIFEST_BLOB_UNKNOWN", "what the manifest lists was not pushed")
        headers = [("Location", request.path), ("Docker-Content-Digest", digest)]
        return Response(201, b"", headers)

    def _repository(self, project: str, repository: str) -> tuple[str, str] | None:
        """Returns a repository's full name and address. The request does not say its location."""
        for declared in self._context.resources.of_type(REPOSITORY):
            inputs = declared.inputs
            if (inputs["project"], inputs["repositoryId"]) == (project, repository):
                return declared.id, uri(inputs)
        return None


def _full(image: str, reference: str) -> str:
    return f"{image}{'@' if reference.startswith('sha256:') else ':'}{reference}"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _refused(status: int, code: str, message: str, challenge: str = "") -> Response:
    headers = [("WWW-Authenticate", challenge)] if challenge else []
    return Response.json(status, {"errors": [{"code": code, "message": message}]}, headers)

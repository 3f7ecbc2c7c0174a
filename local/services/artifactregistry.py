"""Artifact Registry: repositories, which hold the images that are pushed below them."""

import hashlib
import json
import re
from typing import ClassVar

from local import iam
from local.provider.kinds import Json, Kind
from local.services.world import GoogleError, World
from local.web import Request, Response

REPOSITORY = "gcp:artifactregistry/repository:Repository"

# Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#endpoints
PATH = (
    r"/v2/(?:(?P<project>[^/]+)/(?P<repository>[^/]+)/(?P<image>[^:]+)/"
    r"(?:manifests/(?P<reference>[^/]+)|blobs/uploads/))?"
)
_IMAGE = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev/([^/]+)/([^/]+)/.+")
_DOWNLOAD = "artifactregistry.repositories.downloadArtifacts"
_UPLOAD = "artifactregistry.repositories.uploadArtifacts"


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {REPOSITORY: Repository(world)}


def must_hold(world: World, image: str) -> None:
    """GoogleError unless the repository that `image` belongs to is declared."""
    match = _IMAGE.match(image)
    if match is None:
        raise GoogleError(
            f"the image {image!r} is not in the registry of the local cloud: "
            "name it <location>-docker.pkg.dev/<project>/<repository>/<image>"
        )
    location, project, repository = match.groups()
    world.declared(REPOSITORY, f"projects/{project}/locations/{location}/repositories/{repository}")


class Docker:
    """The registry's HTTP API, as far as manifests go, at `PATH`.

    It has one address for the hosts of all locations. It cannot show the content of images, which
    machines take from a folder: an upload is begun here, as a push begins with one, and no more.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, match: re.Match[str], request: Request, member: str) -> Response:
        """The answer to whoever asks; `allUsers` asks without credentials."""
        if member == iam.ALL_USERS:
            challenge = f'Bearer realm="{request.base}/v2/token",service="{request.base}"'
            return _refused(401, "UNAUTHORIZED", "authentication required", challenge)
        if match["project"] is None:
            return Response.json(200, {})
        place = self._repository(match["project"], match["repository"])
        if place is None:
            return _refused(404, "NAME_UNKNOWN", f"Repository {match['repository']!r} not found")
        name, uri = place
        try:
            return self._answer(
                name, f"{uri}/{match['image']}", match["reference"], request, member
            )
        except iam.Denied as denied:
            return _refused(403, "DENIED", str(denied))

    def _answer(
        self, name: str, image: str, reference: str | None, request: Request, member: str
    ) -> Response:
        """`name` is the repository's, which grants are on."""
        require = self._world.policy.require
        if reference is None and request.method == "POST":
            require(member, _UPLOAD, name)
            return Response(202, b"", [("Location", f"{request.path}{self._world.timestamp()}")])
        if reference is not None and request.method in ("GET", "HEAD"):
            require(member, _DOWNLOAD, name)
            return self._manifest(_reference(image, reference), request)
        if reference is not None and request.method == "PUT":
            require(member, _UPLOAD, name)
            full = _reference(image, reference)
            if not reference.startswith("sha256:"):
                exists = self._world.machine.resolve(full) is not None
                verb = "update" if exists else "create"
                require(member, f"artifactregistry.tags.{verb}", name)
            return self._put(full, request)
        return _refused(405, "UNSUPPORTED", f"{request.method} {request.path} is not known here")

    def _manifest(self, name: str, request: Request) -> Response:
        found = self._world.machine.manifest(name)
        accepted = re.split(r"\s*,\s*", request.headers.get("Accept", ""))
        # A registry has no other answer for who does not take a manifest as it is.
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
        digest = self._world.machine.take(name, data)
        if digest is None:
            return _refused(400, "MANIFEST_BLOB_UNKNOWN", "what the manifest lists was not pushed")
        headers = [("Location", request.path), ("Docker-Content-Digest", digest)]
        return Response(201, b"", headers)

    def _repository(self, project: str, repository: str) -> tuple[str, str] | None:
        """Full name and address of the declared repository; its location is not in the path."""
        pattern = rf"projects/{re.escape(project)}/locations/([^/]+)/repositories/"
        for declared in self._world.resources.of_type(REPOSITORY):
            if re.fullmatch(pattern + re.escape(repository), declared.id):
                return declared.id, _uri(declared.inputs)
        return None


def _reference(image: str, reference: str) -> str:
    return f"{image}{'@' if reference.startswith('sha256:') else ':'}{reference}"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _refused(status: int, code: str, message: str, challenge: str = "") -> Response:
    headers = [("WWW-Authenticate", challenge)] if challenge else []
    return Response.json(status, {"errors": [{"code": code, "message": message}]}, headers)


class Repository(Kind):
    """A repository of images; it goes with all that is in it."""

    replace_on: ClassVar = frozenset({"repositoryId", "location", "project", "format", "mode"})

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """Repository ids are 2 to 63 characters."""
        name = inputs["repositoryId"]
        if re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", name):
            return []
        return [("repositoryId", f"{name!r} is not 2 to 63 lower-case letters, digits and '-'")]

    def computed(self, inputs: Json) -> Json:
        """Where images are pushed."""
        return {"name": inputs["repositoryId"], "registryUri": _uri(inputs)}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its id is its full name."""
        del name
        now = self._world.timestamp()
        repository = (
            f"projects/{inputs['project']}/locations/{inputs['location']}"
            f"/repositories/{inputs['repositoryId']}"
        )
        return repository, {"createTime": now, "updateTime": now}

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Remove every image of it, as Google does."""
        del id
        prefix = f"{_uri(outputs)}/"
        self._world.machine.drop(prefix)
        # Tags that the stack let go of without removing them.
        for held in self._world.resources.all():
            if held.type.startswith("docker") and held.id.startswith(prefix):
                self._world.resources.remove(held.type, held.id)


def _uri(inputs: Json) -> str:
    host = f"{inputs['location']}-docker.pkg.dev"
    return f"{host}/{inputs['project']}/{inputs['repositoryId']}"

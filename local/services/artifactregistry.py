"""Artifact Registry: repositories, which hold the images that are pushed below them."""

import re
from typing import ClassVar
from urllib.parse import parse_qs

from local import iam
from local.front.refusal import Refused
from local.provider.kinds import Json, Kind
from local.services.world import GoogleError, World
from local.web import Request, Response

REPOSITORY = "gcp:artifactregistry/repository:Repository"

TAG = (
    r"/v1/(projects/([^/]+)/locations/([^/]+)/repositories/([^/]+)"
    r"/packages/([^/]+)/tags/([^/:]+))"
)
PERMIT = r"/registry/(projects/[^/]+/locations/[^/]+/repositories/[^/]+)"
_IMAGE = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev/([^/]+)/([^/]+)/.+")


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


class Tags:
    """The tags of images as programs ask for them, at `TAG`.

    Source: https://cloud.google.com/artifact-registry/docs/reference/rest
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, match: re.Match[str], request: Request, member: str) -> Response:
        """The version that a tag means; Refused where it is not there or may not be seen."""
        name, project, location, repository, package, tag = match.groups()
        if request.method != "GET":
            call = f"{request.method} {request.path}"
            raise Refused(501, "notImplemented", f"the local cloud does not know {call}")
        try:
            holder = name.partition("/packages/")[0]
            self._world.policy.require(member, "artifactregistry.tags.get", holder)
        except iam.Denied as denied:
            raise Refused(403, "forbidden", str(denied)) from denied
        image = f"{location}-docker.pkg.dev/{project}/{repository}/{package}:{tag}"
        digest = self._world.machine.resolve(image)
        if digest is None:
            raise Refused(404, "notFound", "Requested entity was not found.")
        version = f"{name.partition('/tags/')[0]}/versions/{digest}"
        return Response.json(200, {"name": name, "version": version})


def permit(world: World, match: re.Match[str], request: Request, member: str) -> Response:
    """Whether the caller may do something to a repository, at `PERMIT`; Refused if not.

    A path of the local cloud's own, for its images are folders that no HTTP registry serves: the
    machine's `docker` and `gcloud` ask here before they touch one.
    """
    for permission in parse_qs(request.query).get("permission", []):
        try:
            world.policy.require(member, permission, match[1])
        except iam.Denied as denied:
            raise Refused(403, "forbidden", str(denied)) from denied
    return Response.json(200, {})


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

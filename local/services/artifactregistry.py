"""Artifact Registry: repositories, which hold the images that are pushed below them."""

import re
from typing import ClassVar

from local.provider.kinds import Json, Kind
from local.services.world import GoogleError, World

REPOSITORY = "gcp:artifactregistry/repository:Repository"

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

"""Repositories, which hold the images that are pushed to them."""

import re
from typing import ClassVar

from local.engine.handler import Json
from local.services.context import Context, GoogleError
from local.services.handler import GoogleHandler

REPOSITORY = "gcp:artifactregistry/repository:Repository"

_IMAGE = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev/([^/]+)/([^/]+)/.+")


def repository_must_exist(context: Context, image: str) -> None:
    """Raises GoogleError unless the repository that `image` belongs to is declared."""
    match = _IMAGE.match(image)
    if match is None:
        raise GoogleError(
            f"the image {image!r} is not in the registry of the local cloud: "
            "name it <location>-docker.pkg.dev/<project>/<repository>/<image>"
        )
    location, project, repository = match.groups()
    inputs = {"location": location, "project": project, "repositoryId": repository}
    context.declared(REPOSITORY, Repository.full_name.format_map(inputs))


def uri(inputs: Json) -> str:
    """Returns what the names of a repository's images begin with."""
    host = f"{inputs['location']}-docker.pkg.dev"
    return f"{host}/{inputs['project']}/{inputs['repositoryId']}"


class Repository(GoogleHandler):
    """A repository of images."""

    replace_on: ClassVar = frozenset({"repositoryId", "location", "project", "format", "mode"})
    full_name: ClassVar = "projects/{project}/locations/{location}/repositories/{repositoryId}"
    formats: ClassVar = {
        "repositoryId": (
            r"[a-z][a-z0-9-]{0,61}[a-z0-9]",
            "2 to 63 lower-case letters, digits and '-'",
        )
    }

    def computed(self, inputs: Json) -> Json:
        """Returns where images are pushed."""
        return {"name": inputs["repositoryId"], "registryUri": uri(inputs)}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records the repository."""
        now = self._context.timestamp()
        return super().create(name, inputs)[0], {"createTime": now, "updateTime": now}

    def delete(self, _id: str, outputs: Json) -> None:
        """Removes the repository with every image in it, as Google does."""
        prefix = f"{uri(outputs)}/"
        self._context.runtime.drop(prefix)
        # The stack may have let go of tags without removing them.
        for held in self._context.resources.all():
            if held.type.startswith("docker") and held.id.startswith(prefix):
                self._context.resources.remove(held.type, held.id)

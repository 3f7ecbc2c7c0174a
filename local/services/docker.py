"""Images: built and pushed as pulumi-docker does, and tags made as pulumi-docker-build's Index."""

from typing import ClassVar

from local.provider import images
from local.provider.kinds import Json, Kind
from local.services.artifactregistry import must_hold
from local.services.world import GoogleError, World, section

IMAGE = "docker:index/image:Image"
INDEX = "docker-build:index:Index"


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {IMAGE: Image(world), INDEX: Index(world)}


class Image(images.Image):
    """An image that is built from its context, and pushed unless that is to be skipped.

    As with the real one, refresh does not look at the registry, and deleting leaves the image.
    """

    additive: ClassVar = True

    def __init__(self, world: World) -> None:
        super().__init__(world.root, world.machine.context_digest)
        self._world = world

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Build it, and push it."""
        del name
        return inputs["imageName"], self._build(inputs)

    def update(self, id: str, old_outputs: Json, inputs: Json) -> Json:  # noqa: A002
        """Build it again."""
        del id, old_outputs
        return self._build(inputs)

    def _build(self, inputs: Json) -> Json:
        machine, name, build = self._world.machine, inputs["imageName"], inputs["build"]
        if not inputs["skipPush"]:
            must_hold(self._world, name)
        context, dockerfile = self.paths(inputs)
        digest = machine.build(
            context,
            dockerfile,
            name,
            arguments=section(build, "args"),
            target=build.get("target", ""),
        )
        if inputs["skipPush"]:
            return {"repoDigest": digest}
        return {"repoDigest": f"{_untagged(name)}@{machine.push(name)}"}


class Index(images.Index):
    """A tag made from an image that the registry holds, without a daemon."""

    additive: ClassVar = True

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """The local registry knows indexes of one image only."""
        if len(inputs["sources"]) == 1:
            return []
        return [("sources", f"{len(inputs['sources'])} sources: the local cloud takes exactly one")]

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Make the tag, wherever it pointed before."""
        del name
        return inputs["tag"], self._tag(inputs)

    def update(self, id: str, old_outputs: Json, inputs: Json) -> Json:  # noqa: A002
        """Point the tag at the new source."""
        del id, old_outputs
        return self._tag(inputs)

    def read(self, id: str, outputs: Json) -> Json | None:  # noqa: A002
        """As recorded, while there is such a tag, wherever it points by now."""
        if not outputs["push"]:
            return outputs
        return None if self._world.machine.resolve(id) is None else outputs

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Remove the tag, wherever it points by now."""
        if outputs["push"] and self._world.machine.resolve(id) is not None:
            self._world.machine.untag(id)

    def _tag(self, inputs: Json) -> Json:
        machine, tag, source = self._world.machine, inputs["tag"], inputs["sources"][0]
        if machine.resolve(source) is None:
            raise GoogleError(f"{source} was not found in the registry: push it first")
        if not inputs["push"]:
            return {"ref": source}
        must_hold(self._world, tag)
        return {"ref": f"{tag}@{machine.index(tag, source)}"}


def _untagged(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"

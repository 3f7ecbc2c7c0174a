"""Images, built and pushed as pulumi-docker does, and tags as pulumi-docker-build's Index makes."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from local.engine.handler import Failure, Json
from local.engine.wire import mentions_unknown
from local.services.artifactregistry.resources import repository_must_exist
from local.services.context import GoogleError, section
from local.services.handler import GoogleHandler
from pipeline.errors import UserError

IMAGE = "docker:index/image:Image"
INDEX = "docker-build:index:Index"


class Image(GoogleHandler):
    """An image that is built from its context, and pushed unless that is to be skipped.

    A change of the build's files is a change of `build.contextDigest`. As in the real provider,
    Check computes it after the engine has put ignored inputs back. So ignore_changes does not keep
    an image from being rebuilt. Refresh does not look at the registry, and deleting leaves the
    image there.
    """

    insignificant: ClassVar = frozenset({"registry.username", "registry.password"})
    renewed: ClassVar = frozenset({"repoDigest"})
    added: ClassVar = frozenset({"build.contextDigest"})
    full_name: ClassVar = "{imageName}"
    additive: ClassVar = True

    def prepare(self, inputs: Json) -> Json:
        """Adds the defaults, and the digest of what is built."""
        build: Json = {"context": ".", "platform": "linux/amd64", **inputs.get("build", {})}
        build.setdefault("dockerfile", os.path.join(build["context"], "Dockerfile"))  # noqa: PTH118
        if not mentions_unknown([build["context"], build["dockerfile"]]):
            build["contextDigest"] = self._context.runtime.context_digest(*self._paths(build))
        return {"buildOnPreview": False, "skipPush": False, **inputs, "build": build}

    def computed(self, inputs: Json) -> Json:
        """Returns what follows from the name and the build alone."""
        build = inputs["build"]
        return {
            "baseImageName": inputs["imageName"],
            "registryServer": section(inputs, "registry").get("server", ""),
            "context": build["context"],
            "dockerfile": build["dockerfile"],
            "platform": build["platform"],
        }

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Builds and pushes the image."""
        return inputs["imageName"], self.update("", {}, inputs)

    def update(self, _id: str, _old_outputs: Json, inputs: Json) -> Json:
        """Builds and pushes the image again."""
        runtime, name, build = self._context.runtime, inputs["imageName"], inputs["build"]
        if not inputs["skipPush"]:
            repository_must_exist(self._context, name)
        folder, dockerfile = self._paths(build)
        digest = runtime.build(
            folder,
            dockerfile,
            name,
            arguments=section(build, "args"),
            target=build.get("target", ""),
        )
        if inputs["skipPush"]:
            return {"repoDigest": digest}
        return {"repoDigest": f"{without_tag(name)}@{runtime.push(name)}"}

    def _paths(self, build: Json) -> tuple[Path, Path]:
        """Returns the folder of the context and the Dockerfile; raises UserError without them."""
        folder = self._context.root / build["context"]
        dockerfile = self._context.root / build["dockerfile"]
        if not folder.is_dir():
            raise UserError(f"build.context: there is no folder {folder}")
        if not dockerfile.is_file():
            raise UserError(
                f"build.dockerfile: there is no file {dockerfile}; "
                "it is relative to the program, not to the context"
            )
        return folder, dockerfile


class Index(GoogleHandler):
    """A tag made from an image that the registry holds, without a Docker daemon."""

    replace_on: ClassVar = frozenset({"tag", "registry.address"})
    insignificant: ClassVar = frozenset({"registry.password"})
    renewed: ClassVar = frozenset({"ref"})
    additive: ClassVar = True

    def prepare(self, inputs: Json) -> Json:
        """Adds the default."""
        return {"push": True, **inputs}

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Refuses more than one source: the local registry has indexes of one image only."""
        count = len(inputs["sources"])
        if count != 1:
            yield "sources", f"{count} sources: the local cloud takes exactly one"

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Makes the tag, wherever it pointed before."""
        return inputs["tag"], self.update("", {}, inputs)

    def update(self, _id: str, _old_outputs: Json, inputs: Json) -> Json:
        """Points the tag at the new source."""
        runtime, tag, source = self._context.runtime, inputs["tag"], inputs["sources"][0]
        if runtime.resolve(source) is None:
            raise GoogleError(f"{source} was not found in the registry: push it first")
        if not inputs["push"]:
            return {"ref": source}
        repository_must_exist(self._context, tag)
        return {"ref": f"{tag}@{runtime.index(tag, source)}"}

    def read(self, id_: str, outputs: Json) -> Json | None:
        """Returns what is recorded while the tag exists, wherever it points by now."""
        if not outputs["push"]:
            return outputs
        return None if self._context.runtime.resolve(id_) is None else outputs

    def delete(self, id_: str, outputs: Json) -> None:
        """Removes the tag, wherever it points by now."""
        if outputs["push"] and self._context.runtime.resolve(id_) is not None:
            self._context.runtime.untag(id_)


def without_tag(image: str) -> str:
    """Returns the name of an image without its tag and digest."""
    folder, slash, last = image.partition("@")[0].rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"

"""The kinds of the Docker providers, but for what building and tagging takes."""

import os
from collections.abc import Callable
from pathlib import Path

from local.provider.kinds import Json, Kind
from local.provider.wire import mentions_unknown
from pipeline.errors import UserError


class Image(Kind):
    """docker:index/image:Image; a subclass builds, and gives the output `repoDigest`.

    A change of the build's files is a change of `build.contextDigest`, which is computed in Check,
    after the engine has put ignored inputs back: as with the real provider, ignore_changes does not
    keep an image from being rebuilt.
    """

    insignificant = frozenset({"registry.username", "registry.password"})
    renewed = frozenset({"repoDigest"})
    added = frozenset({"build.contextDigest"})

    def __init__(self, root: Path, context_digest: Callable[[Path, Path], str]) -> None:
        """`root`: the program's folder, to which paths are relative.

        `context_digest`: of a build's context and Dockerfile, all that the image can contain.
        """
        self._root = root
        self._context_digest = context_digest

    def prepare(self, inputs: Json) -> Json:
        """Fill in the defaults and the digest of what is built."""
        build: Json = {"context": ".", "platform": "linux/amd64", **inputs.get("build", {})}
        build.setdefault("dockerfile", os.path.join(build["context"], "Dockerfile"))  # noqa: PTH118
        if not mentions_unknown([build["context"], build["dockerfile"]]):
            build["contextDigest"] = self._context_digest(*self.paths({"build": build}))
        return {"buildOnPreview": False, "skipPush": False, **inputs, "build": build}

    def paths(self, inputs: Json) -> tuple[Path, Path]:
        """The folder of the context and the Dockerfile, which exist; raises UserError."""
        context = self._root / inputs["build"]["context"]
        dockerfile = self._root / inputs["build"]["dockerfile"]
        if not context.is_dir():
            raise UserError(f"build.context: there is no folder {context}")
        if not dockerfile.is_file():
            raise UserError(
                f"build.dockerfile: there is no file {dockerfile}; "
                "it is relative to the program, not to the context"
            )
        return context, dockerfile

    def computed(self, inputs: Json) -> Json:
        """What follows from the name and the build alone."""
        build = inputs["build"]
        return {
            "baseImageName": inputs["imageName"],
            "registryServer": inputs.get("registry", {}).get("server", ""),
            "context": build["context"],
            "dockerfile": build["dockerfile"],
            "platform": build["platform"],
        }


class Index(Kind):
    """docker-build:index:Index; a subclass makes the tag, and gives the output `ref`."""

    replace_on = frozenset({"tag", "registry.address"})
    insignificant = frozenset({"registry.password"})
    renewed = frozenset({"ref"})

    def prepare(self, inputs: Json) -> Json:
        """Fill in the default."""
        return {"push": True, **inputs}

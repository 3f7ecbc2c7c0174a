"""Images as folders, on a machine and in the registry.

An image's digest is the SHA-256 of its manifest, a document like those that `docker push` makes.
Its one layer stands for the image's folder and cannot be downloaded. An index is a manifest that
lists manifests.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.containers.references import Reference, References
from local.containers.registry_client import RegistryClient
from pipeline.errors import UserError

# Every container sees the virtual environment there; see `host`.
PYTHON_PATH = "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PYTHON = re.compile(r"docker\.io/library/python")
# Docker's own media types: of what its daemon pushes, and of an index of that.
# Source: https://distribution.github.io/distribution/spec/manifest-v2-2/
_DOCKER = "application/vnd.docker"
_MANIFEST = f"{_DOCKER}.distribution.manifest.v2+json"
_INDEX = f"{_DOCKER}.distribution.manifest.list.v2+json"


class ImageStore:
    """The images of one machine (`local`) and of the registry.

    One folder has the content of both, so pushing and pulling copy names only. With a `client`, the
    registry first decides whether the machine's service account may; without, the operator acts.
    """

    def __init__(
        self,
        folder: Path,
        local: Path,
        client: RegistryClient | None = None,
        note: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
    ) -> None:
        self._blobs, self._work = folder / "blobs", folder / "work"
        for path in (self._blobs, self._work):
            path.mkdir(parents=True, exist_ok=True)
        self.registry = References(folder / "registry")
        self.local = References(local / "images")
        self._client = client
        self.note = note

    def config(self, digest: str) -> dict[str, Any]:
        """The image's configuration, with the keys that `docker inspect` shows under Config."""
        return json.loads((self._image(digest) / "config.json").read_text())

    def root(self, digest: str) -> Path:
        """The folder of the image's files. Nothing may write there."""
        return self._image(digest) / "root"

    def manifest(self, digest: str) -> tuple[bytes, str]:
        """The manifest with this digest, and its media type."""
        data = (self._blob(digest) / "manifest.json").read_bytes()
        return data, json.loads(data)["mediaType"]

    def _blob(self, digest: str) -> Path:
        return self._blobs / digest.removeprefix("sha256:")

    def _image(self, digest: str) -> Path:
        """The folder of an image. For an index, that of the image that it lists."""
        return self._blob(next(iter(self._listed(digest)), digest))

    def _listed(self, digest: str) -> list[str]:
        """The digests that an index lists; none for an image."""
        document = json.loads(self.manifest(digest)[0])
        return [entry["digest"] for entry in document.get("manifests", [])]

    @contextmanager
    def workspace(self) -> Generator[Path]:
        """A temporary folder for building, on the same file system as the images."""
        with tempfile.TemporaryDirectory(dir=self._work) as folder:
            yield Path(folder)

    def seal(self, root: Path, config: dict[str, Any]) -> str:
        """Makes an image of a folder, which it moves out of the workspace; returns the digest."""
        text = json.dumps(config, indent=1, sort_keys=True)
        layer = f"{_DOCKER}.image.rootfs.diff.tar.gzip"
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(f"{_DOCKER}.container.image.v1+json", text.encode()),
            "layers": [{"mediaType": layer, "size": 0, "digest": _tree_digest(root)}],
        }
        new = root.with_name(f"{root.name}.sealed")
        new.mkdir()
        root.rename(new / "root")
        (new / "config.json").write_text(text)
        return self._keep(new, manifest)

    def index(self, name: str, source: str) -> str:
        """Puts an index of one image into the registry; returns the index's digest.

        The image is then in the index's repository, too: `docker buildx imagetools create` does
        the same.

        Raises:
            UserError: The registry does not have the image.
        """
        target, image = Reference.parse(name), self.published(Reference.parse(source))
        if image is None:
            raise UserError(f"{source}: not found in the registry; push it first")
        data, media_type = self.manifest(image)
        platform = {"architecture": "amd64", "os": "linux"}
        entry = {**_descriptor(media_type, data), "platform": platform}
        with self.workspace() as folder:
            (folder / "index").mkdir()
            index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}
            digest = self._keep(folder / "index", index)
        self.registry.put(Reference(target.repository, image), image)
        self.registry.put(target, digest)
        return digest

    def _keep(self, folder: Path, manifest: dict[str, Any]) -> str:
        """Moves a folder out of a workspace to its manifest's digest; returns the digest."""
        data = json.dumps(manifest, indent=3).encode()
        digest = _digest(data)
        (folder / "manifest.json").write_bytes(data)
        try:
            folder.rename(self._blob(digest))
        except OSError:  # another process has made the same image meanwhile
            if not self._blob(digest).is_dir():
                raise
            shutil.rmtree(folder)
        return digest

    def need(self, text: str) -> str:
        """The digest of an image; pulls the image where this machine does not have it.

        Raises:
            UserError: The registry does not have it either, or this account may not pull.
        """
        if text.startswith("sha256:") and self._blob(text).is_dir():
            return text
        return self.local.find(Reference.parse(text)) or self.pull(text)

    def tag(self, text: str, digest: str) -> None:
        """Gives an image of this machine a name."""
        self.local.put(Reference.parse(text), digest)

    def pull(self, text: str) -> str:
        """Pulls an image from its registry; returns the digest."""
        reference = Reference.parse(text)
        if self._client is not None:
            self._client.may_pull(reference)
        digest = self.published(reference)
        if digest is None:
            raise UserError(
                f"manifest for {text} not found: manifest unknown; build and push it first"
            )
        self.local.put(reference, digest)
        return digest

    def push(self, text: str) -> str:
        """Pushes an image of this machine to the registry of its name; returns the digest."""
        reference = Reference.parse(text)
        digest = self.local.find(reference)
        if digest is None:
            raise UserError(f"An image does not exist locally with the tag: {text}")
        # A machine that pulls an index gets the image for its own platform.
        digest = next(iter(self._listed(digest)), digest)
        if self._client is None or not self._client.push(reference, *self.manifest(digest)):
            self.registry.put(reference, digest)
        self.local.put(reference, digest)
        return digest

    def take(self, reference: Reference, data: bytes) -> str | None:
        """Puts a manifest into the registry under a name; returns its digest.

        None where the registry does not have what the manifest refers to.
        """
        digest = _digest(data)
        if not self._blob(digest).is_dir():
            return None
        for image in self._listed(digest):
            if self.registry.find(Reference(reference.repository, image)) is None:
                return None
        self.registry.put(reference, digest)
        return digest

    def published(self, reference: Reference) -> str | None:
        """The digest that a name means in the registry, which has a stand-in of `python:*`."""
        digest = self.registry.find(reference)
        if digest is None and _PYTHON.fullmatch(reference.repository):
            digest = self._python(reference.version)
            self.registry.put(reference, digest)
        return digest

    def _python(self, tag: str) -> str:
        """An image without files: every container sees this machine's Python anyway."""
        own = "{}.{}".format(*sys.version_info)
        wanted = re.match(r"\d+\.\d+", tag)
        if wanted and wanted[0] != own:
            self.note(f"python:{tag} is stood in for by this machine's Python {own}")
        config = {
            "Env": [f"PATH={PYTHON_PATH}", "LANG=C.UTF-8", f"PYTHON_VERSION={own}"],
            "Cmd": ["python3"],
        }
        with self.workspace() as folder:
            (folder / "root").mkdir()
            return self.seal(folder / "root", config)


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    """How a manifest refers to another document."""
    return {"mediaType": media_type, "size": len(data), "digest": _digest(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _tree_digest(root: Path) -> str:
    """The digest of the names, modes and contents of everything in a folder."""
    records: list[str] = []
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            content = os.fsencode(path.readlink())
        else:
            content = b"" if stat.S_ISDIR(mode) else path.read_bytes()
        records.append(f"{path.relative_to(root)}\0{stat.filemode(mode)}\0{_digest(content)}")
    return _digest("\0".join(records).encode())

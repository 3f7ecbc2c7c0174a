"""Images: folders and the manifests that name them, and what a machine and the registry call them.

An image's digest is the SHA-256 of its manifest, a document as `docker push` makes it. Its one
layer stands for the image's folder and cannot be downloaded. An index is a manifest of manifests.
"""

import fcntl
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from pipeline.errors import UserError

# What a repository of names looks like in the file: {"tags": {tag: digest}, "digests": [digest]}.
_Repositories = dict[str, dict[str, Any]]

# The virtual environment is lent to every sandbox there; see `host`.
PYTHON_PATH = "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PYTHON = re.compile(r"docker\.io/library/python")
# Docker's own types: what its daemon pushes, and what an index of that is.
# Source: https://distribution.github.io/distribution/spec/manifest-v2-2/
_DOCKER = "application/vnd.docker"
_MANIFEST = f"{_DOCKER}.distribution.manifest.v2+json"
_INDEX = f"{_DOCKER}.distribution.manifest.list.v2+json"
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*")


@dataclass(frozen=True)
class Reference:
    """`HOST/PATH:TAG` or `HOST/PATH@sha256:…`, with Docker Hub's short names written out."""

    repository: str
    version: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Parses an image's name.

        Raises:
            UserError: Not a name that a registry takes; they are lower case.
        """
        name, _, digest = text.partition("@")
        path, tag = name, ""
        if ":" in name.rpartition("/")[2]:
            path, _, tag = name.rpartition(":")
        if not _REPOSITORY.fullmatch(path) or (digest and not digest.startswith("sha256:")):
            raise UserError(f"invalid reference format: {text!r}: image names are lower case")
        host = path.partition("/")[0]
        if "/" not in path:
            path = f"docker.io/library/{path}"
        elif not re.search(r"[.:]|^localhost$", host):
            path = f"docker.io/{path}"
        return cls(path, digest or tag or "latest")

    @property
    def host(self) -> str:
        """The registry."""
        return self.repository.partition("/")[0]

    @property
    def is_digest(self) -> bool:
        """Whether it names one image for ever."""
        return self.version.startswith("sha256:")

    def __str__(self) -> str:
        return f"{self.repository}{'@' if self.is_digest else ':'}{self.version}"


class Names:
    """Which digests have which names: a JSON file that processes share under a lock."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def find(self, reference: Reference) -> str | None:
        """The digest that the reference means here."""
        with self._repositories() as repositories:
            names = repositories.get(reference.repository, {})
        if reference.is_digest:
            return reference.version if reference.version in names.get("digests", []) else None
        return names.get("tags", {}).get(reference.version)

    def put(self, reference: Reference, digest: str) -> None:
        """Gives the image this name; a tag moves."""
        with self._repositories() as repositories:
            names = repositories.setdefault(reference.repository, {"tags": {}, "digests": []})
            if not reference.is_digest:
                names["tags"][reference.version] = digest
            if digest not in names["digests"]:
                names["digests"].append(digest)

    def remove(self, reference: Reference) -> None:
        """Takes a tag away; the image can still be named by its digest."""
        with self._repositories() as repositories:
            names = repositories.get(reference.repository, {})
            names.get("tags", {}).pop(reference.version, None)

    def drop(self, prefix: str) -> None:
        """Takes away every repository whose name begins with `prefix`, with its digests."""
        with self._repositories() as repositories:
            for repository in [name for name in repositories if name.startswith(prefix)]:
                del repositories[repository]

    def tags(self, repository: str) -> dict[str, str]:
        """Digest by tag."""
        with self._repositories() as repositories:
            return dict(repositories.get(repository, {}).get("tags", {}))

    def all(self) -> list[tuple[Reference, str]]:
        """Every tagged name and its digest."""
        with self._repositories() as repositories:
            return [
                (Reference(repository, tag), digest)
                for repository, names in sorted(repositories.items())
                for tag, digest in sorted(names["tags"].items())
            ]

    def of(self, digest: str) -> tuple[list[str], list[str]]:
        """An image's names: `repository:tag`s and `repository@digest`s."""
        tagged = [str(reference) for reference, named in self.all() if named == digest]
        with self._repositories() as repositories:
            known = [name for name, names in repositories.items() if digest in names["digests"]]
        return tagged, [f"{name}@{digest}" for name in sorted(known)]

    @contextmanager
    def _repositories(self) -> Generator[_Repositories]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._file.read_text() if self._file.exists() else "{}"
            repositories = cast("_Repositories", json.loads(before))
            yield repositories
            after = json.dumps(repositories, indent=1, sort_keys=True)
            if repositories != json.loads(before):
                new = self._file.with_suffix(".new")
                new.write_text(after)
                new.replace(self._file)


class Remote(Protocol):
    """The registry as this machine reaches it over HTTP, as the account that it runs as."""

    def may_pull(self, image: Reference) -> None:
        """Raise UserError where this account may not."""
        ...

    def push(self, image: Reference, manifest: bytes, media_type: str) -> bool:
        """Put an image's manifest; False where nothing has to be asked for this registry.

        Raises:
            UserError: This account may not.
        """
        ...


class Images:
    """The images of one machine and of the registry; both keep their content in one folder.

    Pushing and pulling copy names only. Without a `remote`, the machine acts as the operator.
    """

    def __init__(
        self,
        folder: Path,
        local: Path,
        remote: Remote | None = None,
        note: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
    ) -> None:
        self._blobs, self._work = folder / "blobs", folder / "work"
        for path in (self._blobs, self._work):
            path.mkdir(parents=True, exist_ok=True)
        self.registry = Names(folder / "registry.json")
        self.local = Names(local / "names.json")
        self._remote = remote
        self.note = note

    def config(self, digest: str) -> dict[str, Any]:
        """The image's configuration, in the keys that `docker inspect` shows under Config."""
        return json.loads((self._image(digest) / "config.json").read_text())

    def root(self, digest: str) -> Path:
        """The image's files; never to be written to."""
        return self._image(digest) / "root"

    def manifest(self, digest: str) -> tuple[bytes, str]:
        """The document of which this is the digest, and its media type."""
        data = (self._blob(digest) / "manifest.json").read_bytes()
        return data, json.loads(data)["mediaType"]

    def _blob(self, digest: str) -> Path:
        return self._blobs / digest.removeprefix("sha256:")

    def _image(self, digest: str) -> Path:
        """The folder of an image, or of the one that an index lists."""
        return self._blob(next(iter(self._listed(digest)), digest))

    def _listed(self, digest: str) -> list[str]:
        """The digests that an index lists; none for an image."""
        document = json.loads(self.manifest(digest)[0])
        return [entry["digest"] for entry in document.get("manifests", [])]

    @contextmanager
    def workspace(self) -> Generator[Path]:
        """A folder for building that shares a file system with the images; gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self._work) as folder:
            yield Path(folder)

    def seal(self, root: Path, config: dict[str, Any]) -> str:
        """Makes an image of a folder within a workspace, which it takes; returns the digest."""
        text = json.dumps(config, indent=1, sort_keys=True)
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {
                "mediaType": f"{_DOCKER}.container.image.v1+json",
                "size": len(text.encode()),
                "digest": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}",
            },
            "layers": [
                {
                    "mediaType": f"{_DOCKER}.image.rootfs.diff.tar.gzip",
                    "size": 0,
                    "digest": f"sha256:{_tree_digest(root)}",
                }
            ],
        }
        new = root.with_name(f"{root.name}.sealed")
        new.mkdir()
        root.rename(new / "root")
        (new / "config.json").write_text(text)
        return self._keep(new, manifest)

    def index(self, name: str, source: str) -> str:
        """Gives an index of one image of the registry a name there; returns the index's digest.

        As `docker buildx imagetools create`: the image is then in the index's repository, too.
        """
        target, image = Reference.parse(name), self._published(source)
        data, media_type = self.manifest(image)
        entry = {
            "mediaType": media_type,
            "size": len(data),
            "digest": image,
            "platform": {"architecture": "amd64", "os": "linux"},
        }
        with self.workspace() as folder:
            (folder / "index").mkdir()
            index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}
            digest = self._keep(folder / "index", index)
        self.registry.put(Reference(target.repository, image), image)
        self.registry.put(target, digest)
        return digest

    def _keep(self, folder: Path, manifest: dict[str, Any]) -> str:
        """Keeps a folder of a workspace under the digest of its manifest, which it returns."""
        data = json.dumps(manifest, indent=3).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        (folder / "manifest.json").write_bytes(data)
        try:
            folder.rename(self._blob(digest))
        except OSError:  # another process kept the same first
            if not self._blob(digest).is_dir():
                raise
            shutil.rmtree(folder)
        return digest

    def need(self, text: str) -> str:
        """The digest of an image on this machine, pulled where it is only in the registry.

        Raises:
            UserError: It is in neither.
        """
        if text.startswith("sha256:") and self._blob(text).is_dir():
            return text
        return self.local.find(Reference.parse(text)) or self.pull(text)

    def tag(self, text: str, digest: str) -> None:
        """Gives an image of this machine a name."""
        self.local.put(Reference.parse(text), digest)

    def pull(self, text: str) -> str:
        """Brings an image from its registry; returns the digest."""
        reference = Reference.parse(text)
        if self._remote is not None:
            self._remote.may_pull(reference)
        digest = self.published(reference)
        if digest is None:
            raise UserError(
                f"manifest for {text} not found: manifest unknown; build and push it first"
            )
        self.local.put(reference, digest)
        return digest

    def push(self, text: str) -> str:
        """Publishes an image of this machine under the name that it has; returns the digest."""
        reference = Reference.parse(text)
        digest = self.local.find(reference)
        if digest is None:
            raise UserError(f"An image does not exist locally with the tag: {text}")
        # Of an index, a machine has the image that is its own.
        digest = next(iter(self._listed(digest)), digest)
        if self._remote is None or not self._remote.push(reference, *self.manifest(digest)):
            self.registry.put(reference, digest)
        self.local.put(reference, digest)
        return digest

    def retag(self, new: str, source: str) -> str:
        """Lets a tag of the registry mean what another name means there; returns the digest."""
        digest = self._published(source)
        self.registry.put(Reference.parse(new), digest)
        return digest

    def take(self, reference: Reference, data: bytes) -> str | None:
        """What a registry does with a manifest that is put: returns its digest.

        None where what the manifest refers to is not there.
        """
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if not self._blob(digest).is_dir():
            return None
        for image in self._listed(digest):
            if self.registry.find(Reference(reference.repository, image)) is None:
                return None
        self.registry.put(reference, digest)
        return digest

    def _published(self, text: str) -> str:
        digest = self.published(Reference.parse(text))
        if digest is None:
            raise UserError(f"{text}: not found in the registry; push it first")
        return digest

    def published(self, reference: Reference) -> str | None:
        """The digest that the registry gives for a name; Docker Hub's `python` is stood in for."""
        digest = self.registry.find(reference)
        if digest is None and _PYTHON.fullmatch(reference.repository):
            digest = self._python(reference.version)
            self.registry.put(reference, digest)
        return digest

    def _python(self, tag: str) -> str:
        """The stand-in for `python:3.11-slim`: no files, for every sandbox is lent this Python."""
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


def _tree_digest(root: Path) -> str:
    total = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                content = os.fsencode(path.readlink())
            else:
                content = b"" if stat.S_ISDIR(mode) else path.read_bytes()
            record = f"{path.relative_to(root)}\0{stat.filemode(mode)}\0".encode()
            total.update(record + hashlib.sha256(content).digest())
    return total.hexdigest()

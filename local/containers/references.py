"""Names of images, and the digests that they mean, on a machine and in the registry."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.containers.files import write
from pipeline.errors import UserError

_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*")
# Folders of a repository; the names of repositories are lower case.
_TAGS, _DIGESTS = "TAGS", "DIGESTS"


@dataclass(frozen=True)
class Reference:
    """`HOST/PATH:TAG` or `HOST/PATH@sha256:…`, with Docker Hub's short names written out."""

    repository: str
    version: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Parses an image's name.

        Raises:
            UserError: A registry does not take this name. Names are lower case.
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
        """The registry's host."""
        return self.repository.partition("/")[0]

    @property
    def is_digest(self) -> bool:
        """Whether it always means the same image."""
        return self.version.startswith("sha256:")

    def __str__(self) -> str:
        return f"{self.repository}{'@' if self.is_digest else ':'}{self.version}"


class References:
    """The digest that each name means. A folder has one file per name, which holds the digest.

    Safe to use from several threads and processes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _file(self, reference: Reference) -> Path:
        kind = _DIGESTS if reference.is_digest else _TAGS
        return self._folder / reference.repository / kind / reference.version

    def find(self, reference: Reference) -> str | None:
        """The digest that a name means, if there is such a name."""
        file = self._file(reference)
        return file.read_text() if file.exists() else None

    def put(self, reference: Reference, digest: str) -> None:
        """Lets a name mean an image. The image's digest becomes a name of the repository, too."""
        for name in (Reference(reference.repository, digest), reference):
            write(self._file(name), digest.encode())

    def remove(self, reference: Reference) -> None:
        """Removes a tag. The image keeps its digest as a name."""
        self._file(reference).unlink(missing_ok=True)

    def drop(self, prefix: str) -> None:
        """Removes every repository whose name begins with `prefix`, with all its names."""
        for folder in [*self._folder.rglob(_TAGS), *self._folder.rglob(_DIGESTS)]:
            if str(folder.parent.relative_to(self._folder)).startswith(prefix):
                shutil.rmtree(folder)

    def all(self) -> list[tuple[Reference, str]]:
        """Every tag, with the digest that it means."""
        return [*self._names(_TAGS)]

    def of(self, digest: str) -> tuple[list[str], list[str]]:
        """The tags of an image (`repository:tag`), and its digests (`repository@digest`)."""
        tags, digests = (
            [str(reference) for reference, named in self._names(kind) if named == digest]
            for kind in (_TAGS, _DIGESTS)
        )
        return tags, digests

    def _names(self, kind: str) -> Iterator[tuple[Reference, str]]:
        for file in sorted(self._folder.rglob(f"{kind}/[!.]*")):
            repository = file.parent.parent.relative_to(self._folder)
            yield Reference(str(repository), file.name), file.read_text()

#!/opt/venv/bin/python -E
"""Stands in for gcloud: `storage cp|cat|ls` and `artifacts docker tags add|list`.

Cloud Storage is reached by Google's client with the identity of the place, and the registry asks
for its grants too. It cannot show gcloud's parallel transfers, composite objects or retries, nor
its renaming of a folder that is copied to a name that does not exist yet: here a folder always goes
into the destination.
"""

import argparse
import fnmatch
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from local.machine.images import Images

sys.path.insert(0, "/opt/machine/lib")

_WILD = "*?["


class GcloudError(Exception):
    """What gcloud says after `ERROR: (gcloud.…) `."""


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line as gcloud does."""

    def error(self, message: str) -> NoReturn:
        """Ends with status 2."""
        print(f"ERROR: ({self.prog}) {message}", file=sys.stderr)
        sys.exit(2)


def unmatched(path: str) -> GcloudError:
    """The words for an address that leads nowhere."""
    return GcloudError(f"The following URLs matched no objects or files:\n-{path}")


class Storage:
    """Cloud Storage, by the identity of the place."""

    def __init__(self) -> None:
        from google.cloud import storage  # pyright: ignore[reportMissingTypeStubs]

        self._client: Any = storage.Client()

    def names(self, bucket: str, prefix: str) -> list[str]:
        """The objects whose names begin so."""
        return [blob.name for blob in self._client.list_blobs(bucket, prefix=prefix)]

    def buckets(self) -> list[str]:
        """The project's buckets."""
        return [bucket.name for bucket in self._client.list_buckets()]

    def exists(self, bucket: str, name: str) -> bool:
        """Whether there is this object."""
        return self._client.bucket(bucket).blob(name).exists()

    def read(self, bucket: str, name: str) -> bytes:
        """An object's content."""
        return self._client.bucket(bucket).blob(name).download_as_bytes()

    def write(self, bucket: str, name: str, data: bytes, generation: int | None) -> None:
        """Writes an object, on the condition of its generation where one is given."""
        blob = self._client.bucket(bucket).blob(name)
        blob.upload_from_string(data, if_generation_match=generation)

    def matches(self, url: str, *, recursive: bool) -> list[tuple[str, str]]:
        """The objects that an address names, each with its path below the destination."""
        bucket, name = split(url)
        if any(sign in name for sign in _WILD):
            found = list(self._wild(bucket, name, recursive=recursive))
        elif recursive:
            folder = f"{name.rstrip('/')}/" if name else ""
            above = folder[: folder.rstrip("/").rfind("/") + 1]
            below = self.names(bucket, folder)
            found = [(found, found.removeprefix(above)) for found in below]
        else:
            found = [(name, Path(name).name)] if name and self.exists(bucket, name) else []
        if not found:
            raise unmatched(url)
        return found

    def _wild(self, bucket: str, name: str, *, recursive: bool) -> Iterator[tuple[str, str]]:
        """A `*` stays within a folder; a folder that matches counts when recursive."""
        prefix = name[: min(name.find(sign) for sign in _WILD if sign in name)]
        pattern = name.rstrip("/").split("/")
        for found in self.names(bucket, prefix):
            parts = found.split("/")
            head, depth = parts[: len(pattern)], len(pattern)
            matching = len(head) == depth and all(map(fnmatch.fnmatchcase, head, pattern))
            if matching and (recursive or len(parts) == depth):
                yield found, "/".join(parts[depth - 1 :])


def split(url: str) -> tuple[str, str]:
    """The bucket and the object of `gs://BUCKET/OBJECT`."""
    bucket, _, name = url.removeprefix("gs://").partition("/")
    return bucket, name


def copy(options: argparse.Namespace) -> None:
    """`gcloud storage cp`."""
    *sources, destination = options.paths
    storage = Storage()
    items: list[tuple[Callable[[], bytes], str]] = []
    for source in sources:
        if source.startswith("gs://"):
            bucket, _ = split(source)
            found = storage.matches(source, recursive=options.recursive)
            items += [(lambda b=bucket, n=name: storage.read(b, n), below) for name, below in found]
        else:
            files = local_files(Path(source), recursive=options.recursive)
            items += [(file.read_bytes, below) for file, below in files]
    into = options.recursive or len(items) > 1 or is_folder(destination)
    for read, below in items:
        if destination == "-":
            sys.stdout.buffer.write(read())
        elif destination.startswith("gs://"):
            bucket, name = split(destination)
            target = f"{name.rstrip('/')}/{below}".lstrip("/") if into else name
            condition = 0 if options.no_clobber else options.if_generation_match
            storage.write(bucket, target, read(), condition)
        else:
            write_file(Path(destination, below) if into else Path(destination), read(), options)
    print(f"Copied to {destination}", file=sys.stderr)


def is_folder(destination: str) -> bool:
    """Whether a single file goes into the destination rather than becoming it."""
    if destination.startswith("gs://") and not split(destination)[1]:
        return True
    return destination.endswith("/") or Path(destination).is_dir()


def local_files(path: Path, *, recursive: bool) -> list[tuple[Path, str]]:
    """A file, or all of a folder, each with its path below the destination."""
    if path.is_file():
        return [(path, path.name)]
    if not path.is_dir() or not recursive:
        raise unmatched(str(path))
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return [(file, str(file.relative_to(path.parent))) for file in files]


def write_file(path: Path, data: bytes, options: argparse.Namespace) -> None:
    """Writes a file; the folder it goes to must be there unless a tree is copied."""
    if not options.recursive and not path.parent.is_dir():
        raise GcloudError(f"Destination URL must name an existing directory: {path.parent}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def concatenate(options: argparse.Namespace) -> None:
    """`gcloud storage cat`."""
    storage = Storage()
    for url in options.urls:
        for name, _ in storage.matches(url, recursive=False):
            sys.stdout.buffer.write(storage.read(split(url)[0], name))


def listing(options: argparse.Namespace) -> None:
    """`gcloud storage ls`."""
    storage = Storage()
    if not options.urls:
        for name in storage.buckets():
            print(f"gs://{name}/")
    for url in options.urls:
        bucket, name = split(url)
        if options.recursive or any(sign in name for sign in _WILD):
            lines = {found for found, _ in storage.matches(url, recursive=options.recursive)}
        else:
            lines = one_level(storage, bucket, name)
        if not lines:
            raise GcloudError("One or more URLs matched no objects.")
        for line in sorted(lines):
            print(f"gs://{bucket}/{line}")


def one_level(storage: Storage, bucket: str, name: str) -> set[str]:
    """An object itself, or what lies in a folder, its own folders ending in a slash."""
    names = storage.names(bucket, name)
    if name in names:
        return {name}
    folder = f"{name.rstrip('/')}/" if name else ""
    below = [found.removeprefix(folder) for found in names if found.startswith(folder)]
    return {folder + part.partition("/")[0] + ("/" if "/" in part else "") for part in below}


def registry() -> "Images":
    """The registry, as far as the account of the place may use it."""
    from local.machine.host import DOCKER_FOLDER, Host
    from local.machine.images import Images
    from local.machine.registry import permit

    return Images(
        Host.within().images,
        Path(DOCKER_FOLDER),
        lambda reference, permission: permit(reference, permission, os.environ),
    )


def add_tag(options: argparse.Namespace) -> None:
    """`gcloud artifacts docker tags add`."""
    from pipeline.errors import UserError

    try:
        registry().retag(options.target, options.source)
    except UserError as error:
        status = "PERMISSION_DENIED" if str(error).startswith("denied") else "NOT_FOUND"
        raise GcloudError(f"{status}: {error}") from error
    print(f"Created tag [{options.target}].", file=sys.stderr)


def list_tags(options: argparse.Namespace) -> None:
    """`gcloud artifacts docker tags list`."""
    from local.machine.images import PULL, Reference
    from local.machine.registry import permit

    images, image = registry(), Reference.parse(options.image)
    permit(image, PULL, os.environ)
    repository = image.repository
    if not options.format:
        print("TAG IMAGE DIGEST")
    for tag, digest in sorted(images.registry.tags(repository).items()):
        print(tag if options.format else f"{tag} {repository} {digest}")


def parser() -> argparse.ArgumentParser:
    """The command lines that are stood in for."""
    top = Parser(prog="gcloud", allow_abbrev=False)
    groups = top.add_subparsers(required=True)
    storage = groups.add_parser("storage", prog="gcloud.storage").add_subparsers(required=True)
    command = storage.add_parser("cp", prog="gcloud.storage.cp", allow_abbrev=False)
    command.set_defaults(does=copy)
    command.add_argument("-r", "-R", "--recursive", action="store_true")
    command.add_argument("-n", "--no-clobber", action="store_true")
    command.add_argument("--if-generation-match", type=int)
    command.add_argument("paths", nargs="+")
    command = storage.add_parser("cat", prog="gcloud.storage.cat", allow_abbrev=False)
    command.set_defaults(does=concatenate)
    command.add_argument("urls", nargs="+")
    command = storage.add_parser("ls", prog="gcloud.storage.ls", allow_abbrev=False)
    command.set_defaults(does=listing)
    command.add_argument("-r", "-R", "--recursive", action="store_true")
    command.add_argument("urls", nargs="*")
    artifacts = groups.add_parser("artifacts", prog="gcloud.artifacts").add_subparsers(
        required=True
    )
    docker = artifacts.add_parser("docker", prog="gcloud.artifacts.docker")
    tags = docker.add_subparsers(required=True).add_parser(
        "tags", prog="gcloud.artifacts.docker.tags"
    )
    tags = tags.add_subparsers(required=True)
    command = tags.add_parser("add", prog="gcloud.artifacts.docker.tags.add")
    command.set_defaults(does=add_tag)
    command.add_argument("source")
    command.add_argument("target")
    command = tags.add_parser("list", prog="gcloud.artifacts.docker.tags.list")
    command.set_defaults(does=list_tags)
    command.add_argument("image")
    command.add_argument("--format", choices=["value(tag)"])
    return top


def main(arguments: list[str]) -> int:
    """Runs one command; a failure is gcloud's line and status 1."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError

    words = [word for word in arguments if word not in {"-q", "--quiet"}]
    options = parser().parse_args(words)
    depth = 2 if words[0] == "storage" else 4
    try:
        options.does(options)
    except GcloudError as error:
        print(f"ERROR: (gcloud.{'.'.join(words[:depth])}) {error}", file=sys.stderr)
        return 1
    except (GoogleAPICallError, GoogleAuthError) as error:
        message = " ".join(str(error).split())
        print(f"ERROR: (gcloud.{'.'.join(words[:depth])}) {message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

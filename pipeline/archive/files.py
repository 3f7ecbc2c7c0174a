"""Finds the files of an archive that may be read: in zips, in an unpacked folder, or alone.

Of the rest of an archive, such as messages and likes, only the names are read.
"""

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal, Self

from pipeline.errors import UserError

_MOST_BYTES = 4 * 1024**3  # unpacked; a million tweets have about 3 GB
_BLOCK = 1 << 18
_DOWNLOAD_AGAIN = "download it again at https://x.com/settings/download_your_data"

Kind = Literal[
    "tweets", "notes", "deleted", "manifest", "account", "user", "months", "csv", "txt", "jsonl"
]

_KINDS: dict[Kind, str] = {
    # tweets.js since 2022, tweet.js before; in archives of 2013, one file a month.
    "tweets": r"tweets?(?:-part\d+)?\.js|js/tweets/\d{4}_\d{2}\.js",
    "notes": r"note-tweet(?:-part\d+)?\.js",
    "deleted": r"deleted-tweets?(?:-part\d+)?\.js",
    "manifest": r"manifest\.js",
    "account": r"account\.js",
    # Archives of 2013 have these in place of a manifest.
    "user": r"js/user_details\.js",
    "months": r"js/tweet_index\.js",
    "csv": r"tweets\.csv",
}
_NAMES: dict[Kind, re.Pattern[str]] = {
    kind: re.compile(rf"(?P<root>(?:.+?/)??)(?:data/)?(?P<name>{pattern})")
    for kind, pattern in _KINDS.items()
}
_ALONE: dict[str, Kind] = {".js": "tweets", ".csv": "csv", ".txt": "txt", ".jsonl": "jsonl"}


@dataclass(frozen=True)
class File:
    """A file of an archive.

    Attributes:
        source: The zip, the folder or the lone file that it was found in.
        root: The folder of the archive within `source`; "" or with a slash at its end.
        name: The name within the archive's data, such as `tweets.js`.
        label: What messages call it.
        changed: When it was changed, in seconds since 1970; None in a zip.
    """

    source: Path
    root: str
    name: str
    kind: Kind
    label: str
    open: Callable[[], IO[bytes]]
    changed: float | None = None

    def fault(self, fault: str) -> UserError:
        """The error that this file is not what X writes."""
        return UserError(f"{self.label} {fault}; {_DOWNLOAD_AGAIN}")


class Files:
    """The files of one archive in several paths. They are open in a `with` block."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Find the files.

        Raises:
            UserError: A path cannot be read, is of no known kind, or leads out of the archive.
        """
        self._opened = ExitStack()
        self._unpacked = 0
        with ExitStack() as on_error:
            on_error.callback(self._opened.close)
            self.found = [file for path in paths for file in self._find(path)]
            on_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def blocks(self, file: File) -> Iterator[bytes]:
        """Yield a file's bytes; raises UserError if it is damaged, or all files are too large."""
        with _readable(file.source), file.open() as opened:
            # A reader that gives up leaves the stream open.
            self._opened.callback(opened.close)
            while block := opened.read(_BLOCK):
                self._unpacked += len(block)
                if self._unpacked > _MOST_BYTES:
                    raise file.fault(f"unpacks to over {_MOST_BYTES >> 30} GiB")
                yield block

    def _find(self, path: Path) -> Iterator[File]:
        with _readable(path):
            changed = path.stat().st_mtime
            if path.is_dir():
                yield from _in_folder(path)
            elif path.suffix.lower() in _ALONE:
                yield _alone(path, changed)
            else:
                if path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
                    raise UserError(
                        f"{path} is of no kind that can be read; give a zip that X made, the folder"
                        f" that it was unpacked into, or a file {', '.join(_ALONE)}"
                    )
                yield from _in_zip(path, self._opened.enter_context(zipfile.ZipFile(path)))


@contextmanager
def _readable(path: Path) -> Generator[None]:
    """Say in one line why a path cannot be read."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        OverflowError,
        RuntimeError,  # such as "is encrypted"
        NotImplementedError,
        ValueError,  # such as a name that is not UTF-8
    ) as error:
        reason = _printable(str(error))
        raise UserError(f"{path}: not a whole zip file ({reason}); {_DOWNLOAD_AGAIN}") from None
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be read ({reason}); check the path") from None


def _in_zip(path: Path, opened: zipfile.ZipFile) -> Iterator[File]:
    for info in opened.infolist():
        name = info.filename.replace("\\", "/")
        label = _printable(f"{path.name}: {name}")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UserError(
                f"{label} has a path that leads out of the archive, and X writes no such path;"
                f" {_DOWNLOAD_AGAIN}"
            )
        if named := kind_of(name):
            # Python reads other methods without a limit, so they could fill the memory.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UserError(
                    f"{label} is compressed in a way that X does not use; {_DOWNLOAD_AGAIN}"
                )
            kind, root, known = named
            yield File(path, root, known, kind, label, lambda info=info: opened.open(info))


def _in_folder(folder: Path) -> Iterator[File]:
    inside = folder.resolve()
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if not (named := kind_of(relative)):
                continue
            label = _printable(f"{folder.name or folder}: {relative}")
            if not path.resolve().is_relative_to(inside) or not path.is_file():
                raise UserError(
                    f"{label} is no file of this folder but leads out of it; replace it by the"
                    " file itself"
                )
            kind, root, known = named
            yield File(folder, root, known, kind, label, lambda path=path: path.open("rb"))


def _alone(path: Path, changed: float) -> File:
    named = kind_of(path.name)
    kind = named[0] if named else _ALONE[path.suffix.lower()]
    return File(path, "", path.name, kind, path.name, lambda: path.open("rb"), changed)


def _printable(text: str) -> str:
    """Names in a zip can have line ends, and codes that a terminal obeys."""
    return "".join(character if character.isprintable() else "?" for character in text)


def kind_of(path: str) -> tuple[Kind, str, str] | None:
    """The kind of a file that may be read, its archive's folder, and its name there."""
    for kind, pattern in _NAMES.items():
        if match := pattern.fullmatch(path):
            return kind, match["root"], match["name"]
    return None

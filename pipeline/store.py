"""A bucket as this project uses it: small documents by compare-and-set, large files once."""

import base64
import hashlib
import json
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from google.api_core import exceptions as google_errors
from google.auth import exceptions as auth_errors
from google.cloud import storage  # pyright: ignore[reportMissingTypeStubs]
from google.cloud.storage.exceptions import DataCorruption  # pyright: ignore[reportMissingTypeStubs]
from google.cloud.storage.retry import DEFAULT_RETRY  # pyright: ignore[reportMissingTypeStubs]

from pipeline.errors import UserError

_TIMEOUT = (5, 60)  # seconds to connect, and between two bytes
_ADDRESS = re.compile(r"^[A-Z]+ https?://\S+: ")


@dataclass(frozen=True)
class Object:
    """One object's bytes, and the generation that a compare-and-set on them has to name."""

    name: str
    data: bytes
    generation: int


class Changed(Exception):
    """The object is not, or no longer, what the caller took it for; its text is the name."""


class StorageError(UserError):
    """Cloud Storage refused or did not answer."""


class Store:
    """One bucket. Every call is retried for at most `patience` seconds, then a StorageError."""

    def __init__(self, bucket: storage.Bucket, patience: float = 60) -> None:
        self._bucket: Any = bucket
        self._wire = {"timeout": _TIMEOUT, "retry": DEFAULT_RETRY.with_timeout(patience)}

    @classmethod
    def open(cls, bucket_name: str) -> "Store":
        """The bucket of that name, with the identity that this process runs as."""
        with _one_line(bucket_name, "open it"):
            # Of no project: a bucket's name says which one it is, and a person's own credentials
            # need not have one.
            client: Any = storage.Client(project=None)
            return cls(client.bucket(bucket_name))

    @property
    def bucket_name(self) -> str:
        """As it stands in gs:// addresses."""
        return self._bucket.name

    def read(self, name: str) -> Object | None:
        """The newest generation, or None where there is none."""
        blob = self._bucket.blob(name)
        with _one_line(self.bucket_name, f"read {name}"):
            try:
                data = blob.download_as_bytes(**self._wire)
            except google_errors.NotFound:
                return None
        return Object(name, data, int(blob.generation))

    def write(self, name: str, data: bytes, *, generation: int) -> int:
        """Put `data` in place of exactly that generation (0: of nothing) and return the new one.

        Raises Changed where another generation is found, unless it holds exactly `data`: then it
        is this very write, whose answer was lost and which the client sent again. What two
        writers must not both believe to have written therefore carries something of its writer.
        """
        blob = self._bucket.blob(name)
        with _one_line(self.bucket_name, f"write {name}"):
            try:
                blob.upload_from_string(data, if_generation_match=generation, **self._wire)
            except google_errors.PreconditionFailed:
                found = self.read(name)
                if found is None or found.data != data:
                    raise Changed(name) from None
                return found.generation
        return int(blob.generation)

    def delete(self, name: str, *, generation: int) -> None:
        """Remove exactly that generation; raise Changed where another, or none, is found."""
        blob = self._bucket.blob(name)
        with _one_line(self.bucket_name, f"delete {name}"):
            try:
                blob.delete(if_generation_match=generation, **self._wire)
            except (google_errors.PreconditionFailed, google_errors.NotFound):
                raise Changed(name) from None

    def remove(self, name: str) -> None:
        """Delete a file that is never written again; one that is gone already is no error."""
        with _one_line(self.bucket_name, f"delete {name}"), suppress(google_errors.NotFound):
            self._bucket.blob(name).delete(**self._wire)

    def names(self, prefix: str) -> list[str]:
        """The names of the objects under a prefix, sorted."""
        with _one_line(self.bucket_name, f"list {prefix}"):
            blobs = self._bucket.list_blobs(
                prefix=prefix, fields="items(name),nextPageToken", **self._wire
            )
            return sorted(blob.name for blob in blobs)

    def upload(self, name: str, path: Path) -> None:
        """Put a file under a name that is never written again; Changed if it holds other bytes."""
        blob = self._bucket.blob(name)
        with _one_line(self.bucket_name, f"upload {name}"):
            try:
                blob.upload_from_filename(str(path), if_generation_match=0, **self._wire)
            except google_errors.PreconditionFailed:
                blob.reload(**self._wire)
                if blob.md5_hash != _md5(path):
                    raise Changed(name) from None

    def download(self, name: str, path: Path) -> None:
        """Write an object to `path`, which appears only when it is whole."""
        partial = path.with_name(path.name + ".partial")
        try:
            with _one_line(self.bucket_name, f"download {name}"):
                self._bucket.blob(name).download_to_filename(str(partial), **self._wire)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _md5(path: Path) -> str:
    """As Cloud Storage gives it: base64."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()


@contextmanager
def _one_line(bucket: str, action: str) -> Generator[None]:
    """Turn what the client raises for an outage or a refusal into a StorageError."""
    try:
        yield
    except auth_errors.DefaultCredentialsError:
        mend = "no Google credentials here; run `gcloud auth application-default login`"
    except google_errors.NotFound as error:
        mend = f"{_said(error)}; is the stack up?"
    except google_errors.Forbidden as error:
        mend = f"{_said(error)}; grant it, or run as somebody who may"
    except (
        google_errors.GoogleAPIError,
        auth_errors.GoogleAuthError,
        requests.RequestException,
        DataCorruption,
    ) as error:
        mend = f"no good answer ({_said(error)}); nothing is lost, run it again"
    else:
        return
    raise StorageError(f"bucket {bucket}: cannot {action}: {mend}")


def _said(error: Exception) -> str:
    """What the server or the client said, in one line.

    Of a failed download it is the request's address, which says nothing new, the whole answer, and
    that it was not expected.
    """
    text = _ADDRESS.sub("", str(getattr(error, "message", error)), count=1)
    with suppress(ValueError, TypeError, KeyError):
        answer, _ = json.JSONDecoder().raw_decode(text)
        text = str(answer["error"]["message"])
    return " ".join(text.split())[:500] or type(error).__name__

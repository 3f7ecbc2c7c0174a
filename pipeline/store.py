"""A bucket. Small objects are changed by compare-and-set, large files are written once."""

import base64
import hashlib
import json
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import requests
from google.api_core import exceptions as google_errors
from google.auth import exceptions as auth_errors
from google.cloud import storage  # pyright: ignore[reportMissingTypeStubs]
from google.cloud.storage.exceptions import DataCorruption  # pyright: ignore[reportMissingTypeStubs]
from google.cloud.storage.retry import DEFAULT_RETRY  # pyright: ignore[reportMissingTypeStubs]

from pipeline.environment import set_default
from pipeline.errors import PipelineError, Unavailable, UserError
from pipeline.google import LOGIN, is_expired_login

# For the attributes of traces, the client fetches each bucket's metadata in a background thread. We
# trace nothing, a program may lack the permission, and during an outage the thread retries.
set_default("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")

_TIMEOUT = (5, 60)  # seconds to connect, and between two bytes
_ADDRESS = re.compile(r"^[A-Z]+ https?://\S+: ")


@dataclass(frozen=True)
class Object:
    """An object's bytes and its generation, which a compare-and-set on it names."""

    name: str
    data: bytes
    generation: int


class Version(NamedTuple):
    """One version of an object; it is not live once it was replaced or deleted."""

    name: str
    generation: int
    live: bool


class PreconditionFailed(Exception):
    """The object is not, or no longer, at the expected generation; the text is its name."""


class Store:
    """One bucket.

    Every call is retried for at most `timeout` seconds. Then it raises Unavailable; if Cloud
    Storage refuses it, UserError.
    """

    def __init__(self, bucket: storage.Bucket, timeout: float = 60) -> None:
        self._bucket: Any = bucket
        self._wire = {"timeout": _TIMEOUT, "retry": DEFAULT_RETRY.with_timeout(timeout)}

    @classmethod
    def open(cls, bucket_name: str) -> "Store":
        """Open the bucket of that name with the identity that this process runs as."""
        with _one_line(bucket_name, "open it"):
            # No project is needed to find a bucket, and a person's own credentials may have none.
            client: Any = storage.Client(project=None)
            return cls(client.bucket(bucket_name))

    @property
    def bucket_name(self) -> str:
        """The name, as in gs:// addresses."""
        return self._bucket.name

    def read(self, name: str) -> Object | None:
        """The newest generation of an object; None if there is no such object."""
        blob = self._bucket.blob(name)
        with _one_line(self.bucket_name, f"read {name}"):
            try:
                data = blob.download_as_bytes(**self._wire)
            except google_errors.NotFound:
                return None
        return Object(name, data, int(blob.generation))

    def write(self, name: str, data: bytes, *, generation: int) -> int:
        """Replace exactly that generation (0: create the object) and return the new generation.

        The client repeats a write whose response was lost, and the repetition finds a generation
        that it did not expect. So if the object holds exactly `data`, the write has succeeded.
        Put a nonce into any document that two writers could write identically: otherwise both
        believe that theirs was written.

        Raises:
            PreconditionFailed: There is another generation, with other data.
        """
        blob = self._bucket.blob(name)
        with _one_line(self.bucket_name, f"write {name}"):
            try:
                blob.upload_from_string(data, if_generation_match=generation, **self._wire)
            except google_errors.PreconditionFailed:
                current = self.read(name)
                if current is None or current.data != data:
                    raise PreconditionFailed(name) from None
                return current.generation
        return int(blob.generation)

    def delete(self, name: str, *, generation: int) -> None:
        """Delete exactly that generation; raises PreconditionFailed if it is not the current."""
        blob = self._bucket.blob(name)
        with _one_line(self.bucket_name, f"delete {name}"):
            try:
                blob.delete(if_generation_match=generation, **self._wire)
            except (google_errors.PreconditionFailed, google_errors.NotFound):
                raise PreconditionFailed(name) from None

    def remove(self, name: str) -> None:
        """Delete a file that is never written again, if it is still there."""
        with _one_line(self.bucket_name, f"delete {name}"), suppress(google_errors.NotFound):
            self._bucket.blob(name).delete(**self._wire)

    def erase(self, name: str, generation: int) -> None:
        """Delete one version for good, live or not; from then on it is soft-deleted."""
        blob = self._bucket.blob(name, generation=generation)
        with _one_line(self.bucket_name, f"delete {name}"), suppress(google_errors.NotFound):
            blob.delete(**self._wire)

    def versions(self, prefix: str) -> list[Version]:
        """All versions of the objects under a prefix, the live ones too, sorted by name."""
        with _one_line(self.bucket_name, f"list the versions of {prefix}"):
            blobs = self._bucket.list_blobs(
                prefix=prefix,
                versions=True,
                fields="items(name,generation,timeDeleted),nextPageToken",
                **self._wire,
            )
            found = [
                Version(blob.name, int(blob.generation), blob.time_deleted is None)
                for blob in blobs
            ]
        return sorted(found)

    def names(self, prefix: str) -> list[str]:
        """The names of the objects under a prefix, sorted."""
        with _one_line(self.bucket_name, f"list {prefix}"):
            blobs = self._bucket.list_blobs(
                prefix=prefix, fields="items(name),nextPageToken", **self._wire
            )
            return sorted(blob.name for blob in blobs)

    def upload(self, name: str, path: Path) -> None:
        """Upload a file under a name that is never written again.

        Raises:
            PreconditionFailed: There is an object of that name with other bytes.
        """
        blob = self._bucket.blob(name)
        with _one_line(self.bucket_name, f"upload {name}"):
            try:
                blob.upload_from_filename(str(path), if_generation_match=0, **self._wire)
            except google_errors.PreconditionFailed:
                blob.reload(**self._wire)
                if blob.md5_hash != _md5(path):
                    raise PreconditionFailed(name) from None

    def download(self, name: str, path: Path) -> None:
        """Download an object to `path`, which appears once it is whole."""
        partial = path.with_name(path.name + ".partial")
        try:
            with _one_line(self.bucket_name, f"download {name}"):
                self._bucket.blob(name).download_to_filename(str(partial), **self._wire)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _md5(path: Path) -> str:
    """The MD5 of a file in base64, as Cloud Storage gives it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()


@contextmanager
def _one_line(bucket: str, action: str) -> Generator[None]:
    """Turn the client's errors into one-line errors: UserError for refusals, else Unavailable."""
    kind: type[PipelineError] = UserError
    try:
        yield
    except auth_errors.DefaultCredentialsError:
        why = f"there are no Google credentials here; {LOGIN}"
    except google_errors.NotFound as error:
        why = f"{_message(error)}; deploy the stack first (`pulumi up`)"
    except google_errors.Forbidden as error:
        why = f"{_message(error)}; grant it, or run as somebody who may"
    except (
        google_errors.GoogleAPIError,
        auth_errors.GoogleAuthError,
        requests.RequestException,
        DataCorruption,
    ) as error:
        if is_expired_login(error):
            why = f"your login at Google has expired; {LOGIN}"
        else:
            kind = Unavailable
            why = f"no usable response ({_message(error)}); nothing is lost, run it again"
    else:
        return
    raise kind(f"bucket {bucket}: cannot {action}: {why}")


def _message(error: Exception) -> str:
    """The message of the server or the client, in one line.

    After a failed download, the client's message is the request's address, the whole response, and
    a remark that it was not expected. Only the message within the response is kept.
    """
    text = _ADDRESS.sub("", str(getattr(error, "message", error)), count=1)
    with suppress(ValueError, TypeError, KeyError):
        response, _ = json.JSONDecoder().raw_decode(text)
        text = str(response["error"]["message"])
    return " ".join(text.split())[:500] or type(error).__name__

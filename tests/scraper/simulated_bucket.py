"""A bucket in memory, behind the methods of Google's client that `pipeline.store` uses."""

from collections.abc import Callable
from typing import Any

from google.api_core import exceptions as google_errors

Step = Callable[[str, Callable[[], Any]], Any]
"""Makes a call: takes what it is about, and the call itself."""


class Objects(dict[str, tuple[bytes, int]]):
    """The objects of a bucket with their generations, which no object ever has twice."""

    newest = 0


class Bucket:
    """A bucket, as the client of Cloud Storage gives it to one execution."""

    name = "bots-data"

    def __init__(self, objects: Objects, step: Step) -> None:
        self.objects = objects
        self.step = step

    def blob(self, name: str) -> "_Blob":
        """An object that may be there."""
        return _Blob(self, name)

    def list_blobs(self, *, prefix: str, **_: Any) -> list["_Blob"]:
        """The objects under a prefix."""
        return self.step(
            f"list {prefix}",
            lambda: [_Blob(self, name) for name in self.objects if name.startswith(prefix)],
        )


class _Blob:
    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self.name = name
        self.generation = 0

    def download_as_bytes(self, **_: Any) -> bytes:
        return self._call("read", self._download)

    def upload_from_string(self, data: bytes, *, if_generation_match: int, **_: Any) -> None:
        self._call("write", lambda: self._upload(data, if_generation_match))

    def delete(self, *, if_generation_match: int, **_: Any) -> None:
        self._call("delete", lambda: self._delete(if_generation_match))

    def _call(self, what: str, call: Callable[[], Any]) -> Any:
        return self._bucket.step(f"{what} {self.name}", call)

    def _download(self) -> bytes:
        if self.name not in self._bucket.objects:
            raise storage_error("NotFound", self.name)
        data, self.generation = self._bucket.objects[self.name]
        return data

    def _upload(self, data: bytes, expected: int) -> None:
        self._expect(expected)
        self._bucket.objects.newest += 1
        self.generation = self._bucket.objects.newest
        self._bucket.objects[self.name] = data, self.generation

    def _delete(self, expected: int) -> None:
        if self.name not in self._bucket.objects:
            raise storage_error("NotFound", self.name)
        self._expect(expected)
        del self._bucket.objects[self.name]

    def _expect(self, generation: int) -> None:
        if self._bucket.objects.get(self.name, (b"", 0))[1] != generation:
            raise storage_error("PreconditionFailed", self.name)


def storage_error(kind: str, message: str) -> Exception:
    """An error of the client's, by the name of its class."""
    return getattr(google_errors, kind)(message)

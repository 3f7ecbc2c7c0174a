"""The versions of all secrets: one file per secret, which its owner alone can read."""

import base64
import re
import threading
from pathlib import Path

from pydantic import BaseModel

from local.gateway.errors import HttpError
from local.records import replace_file

LIMIT = 64 * 1024
"""Bytes in a version. Source: https://cloud.google.com/secret-manager/quotas"""


class SecretError(HttpError):
    """What Secret Manager refuses."""

    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(code, status, message, status)


class _Secret(BaseModel):
    # Base64, oldest first. None stands for a destroyed version, so that no number is reused.
    versions: list[str | None] = []


class Secrets:
    """The secrets of one project, by their short names. Every method may raise SecretError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def create(self, name: str) -> None:
        """Creates a secret without a version."""
        if not _is_name(name):
            raise SecretError(400, "INVALID_ARGUMENT", f"{name!r} is no name for a secret")
        with self._lock:
            if self.exists(name):
                raise SecretError(409, "ALREADY_EXISTS", f"Secret [{name}] already exists.")
            self._write(name, [])

    def delete(self, name: str) -> None:
        """Deletes a secret with all its versions."""
        self._versions(name)
        (self._folder / name).unlink()

    def exists(self, name: str) -> bool:
        """Tells whether there is such a secret, with or without versions."""
        return _is_name(name) and (self._folder / name).is_file()

    def add_version(self, name: str, data: bytes) -> int:
        """Adds a version, which then is the latest; returns its number."""
        if len(data) > LIMIT:
            raise SecretError(400, "INVALID_ARGUMENT", f"{len(data)} bytes exceed {LIMIT}.")
        with self._lock:
            versions = [*self._versions(name), base64.b64encode(data).decode()]
            self._write(name, versions)
            return len(versions)

    def access(self, name: str, version: int | str = "latest") -> bytes:
        """Returns the data of a version. "latest" is the newest one, even if it is destroyed."""
        number = self.resolve(name, version)
        data = self._versions(name)[number - 1]
        if data is None:
            message = f"Secret Version [{name}/versions/{number}] is in DESTROYED state."
            raise SecretError(400, "FAILED_PRECONDITION", message)
        return base64.b64decode(data)

    def resolve(self, name: str, version: int | str = "latest") -> int:
        """Returns the number of a version."""
        count = len(self._versions(name))
        number = count if version == "latest" else int(version) if str(version).isdigit() else 0
        if not 1 <= number <= count:
            message = f"Secret [{name}] not found or has no version {version}."
            raise SecretError(404, "NOT_FOUND", message)
        return number

    def destroy_version(self, name: str, version: int) -> None:
        """Erases the data of a version. Its number stays taken."""
        with self._lock:
            versions = list(self._versions(name))
            versions[self.resolve(name, version) - 1] = None
            self._write(name, versions)

    def _versions(self, name: str) -> list[str | None]:
        if not self.exists(name):
            raise SecretError(404, "NOT_FOUND", f"Secret [{name}] not found.")
        return _Secret.model_validate_json((self._folder / name).read_text()).versions

    def _write(self, name: str, versions: list[str | None]) -> None:
        replace_file(self._folder / name, _Secret(versions=versions).model_dump_json())


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name) is not None

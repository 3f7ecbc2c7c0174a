"""Secret Manager's storage: one file per secret, readable by its owner alone."""

import base64
import json
import re
import tempfile
import threading
from pathlib import Path

from pydantic import BaseModel

LIMIT = 64 * 1024
"""Bytes in a version. Source: https://cloud.google.com/secret-manager/quotas"""


class SecretError(Exception):
    """What Secret Manager refuses, with the HTTP code and the status word that it answers."""

    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class _Version(BaseModel):
    number: int
    data: str | None  # base64; None once destroyed


class _Secret(BaseModel):
    versions: list[_Version] = []


class Secrets:
    """The secrets of one project, by their short names; every method may raise SecretError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def create(self, name: str) -> None:
        """Create a secret with no version."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name):
            raise SecretError(400, "INVALID_ARGUMENT", f"{name!r} is no name for a secret")
        with self._lock:
            if self.exists(name):
                raise SecretError(409, "ALREADY_EXISTS", f"Secret [{name}] already exists.")
            self._write(name, _Secret())

    def delete(self, name: str) -> None:
        """Delete a secret with all its versions."""
        with self._lock:
            self._read(name)
            (self._folder / name).unlink()

    def exists(self, name: str) -> bool:
        """Whether there is such a secret, be it without versions."""
        return (self._folder / name).is_file()

    def add_version(self, name: str, data: bytes) -> int:
        """Add a version, which is then the latest; returns its number."""
        if len(data) > LIMIT:
            raise SecretError(400, "INVALID_ARGUMENT", f"{len(data)} bytes exceed {LIMIT}.")
        with self._lock:
            secret = self._read(name)
            # Versions are never removed from the file, so a number is never given twice.
            number = len(secret.versions) + 1
            secret.versions.append(_Version(number=number, data=base64.b64encode(data).decode()))
            self._write(name, secret)
            return number

    def access(self, name: str, version: int | str = "latest") -> bytes:
        """The bytes of a version; "latest" is the newest one, also when it was destroyed."""
        with self._lock:
            return self._data(name, self._version(self._read(name), name, version))

    def resolve(self, name: str, version: int | str = "latest") -> int:
        """The number of a version."""
        with self._lock:
            return self._version(self._read(name), name, version).number

    def destroy_version(self, name: str, version: int) -> None:
        """Erase the bytes of a version; its number stays taken."""
        with self._lock:
            secret = self._read(name)
            self._version(secret, name, version).data = None
            self._write(name, secret)

    def _version(self, secret: _Secret, name: str, version: int | str) -> _Version:
        numbers = {str(held.number): held for held in secret.versions}
        wanted = str(len(secret.versions)) if version == "latest" else str(version)
        if wanted not in numbers:
            raise SecretError(
                404, "NOT_FOUND", f"Secret [{name}] not found or has no version {version}."
            )
        return numbers[wanted]

    def _data(self, name: str, version: _Version) -> bytes:
        if version.data is None:
            raise SecretError(
                400,
                "FAILED_PRECONDITION",
                f"Secret Version [{name}/versions/{version.number}] is in DESTROYED state.",
            )
        return base64.b64decode(version.data)

    def _read(self, name: str) -> _Secret:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name) or not self.exists(name):
            raise SecretError(404, "NOT_FOUND", f"Secret [{name}] not found.")
        return _Secret.model_validate_json((self._folder / name).read_text())

    def _write(self, name: str, secret: _Secret) -> None:
        # mkstemp makes files of mode 0600, and a secret's name never starts with a dot.
        with tempfile.NamedTemporaryFile(
            "w", dir=self._folder, prefix=".", delete=False
        ) as temporary:
            temporary.write(json.dumps(secret.model_dump()))
        Path(temporary.name).replace(self._folder / name)

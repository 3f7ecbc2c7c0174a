"""Versions that are no longer live: noncurrent ones, and soft-deleted ones until their time is up.

In a bucket with versioning, an object that is replaced or deleted stays as a noncurrent version. A
lifecycle rule deletes it some days later, and anybody with the permission sooner. What is deleted
for good is soft-deleted: it can be listed until the bucket's period is over, and nobody can shorten
that.
Source: https://cloud.google.com/storage/docs/object-versioning, .../soft-delete (2026-11).

It cannot show the restoring of soft-deleted objects, nor that Google acts on a lifecycle rule up to
a day after its time.
"""

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local.records import replace_file
from local.services.context import items, section

Json = dict[str, Any]

_EVER = datetime.min.replace(tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Keeping:
    """What a bucket keeps of objects that were replaced or deleted."""

    versions: bool = False
    noncurrent_days: int | None = None
    """After how many days a lifecycle rule deletes a noncurrent version; None for never."""
    soft_delete: timedelta = timedelta()

    @classmethod
    def declared(cls, inputs: Json) -> "Keeping":
        """Read it from the inputs of a bucket; soft delete is 7 days unless they say otherwise."""
        soft, versioning = section(inputs, "softDeletePolicy"), section(inputs, "versioning")
        days = [
            int(rule["condition"]["daysSinceNoncurrentTime"])
            for rule in items(inputs, "lifecycleRules")
            if rule["action"]["type"] == "Delete"
            and rule["condition"].get("daysSinceNoncurrentTime") is not None
        ]
        return cls(
            versions=bool(versioning.get("enabled")),
            noncurrent_days=min(days, default=None),
            soft_delete=timedelta(seconds=int(soft.get("retentionDurationSeconds", 7 * 24 * 3600))),
        )


@dataclass(frozen=True)
class Version:
    """One version: its metadata, and the file of its data.

    The metadata have `timeDeleted` once it is not live, and `softDeleteTime` and `hardDeleteTime`
    once it is soft-deleted.
    """

    metadata: Json
    file: Path

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata["name"]

    @property
    def generation(self) -> str:
        """The generation, which no other version of the object has."""
        return str(self.metadata["generation"])

    @property
    def soft_deleted(self) -> bool:
        """Whether it is soft-deleted, and so neither live nor noncurrent."""
        return "softDeleteTime" in self.metadata


class Past:
    """The versions in `folder`: of each, a file of its data and one of its metadata."""

    def __init__(self, folder: Path, keeping: Callable[[str], Keeping]) -> None:
        self._folder = folder
        self._keeping = keeping
        self._lock = threading.RLock()
        self._next = _EVER  # nothing is due before this time

    def keeps(self, bucket: str) -> bool:
        """Whether the bucket keeps anything of what is replaced or deleted."""
        keeping = self._keeping(bucket)
        return keeping.versions or bool(keeping.soft_delete)

    def copy(self, metadata: Json, data: Iterator[bytes]) -> Path:
        """Copy a live version that is about to go; then `keep` it, or delete the copy."""
        copy = self._at(metadata).with_suffix(".new")
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("wb") as file:
            for block in data:
                file.write(block)
        return copy

    def keep(self, metadata: Json, copy: Path, now: datetime, *, for_good: bool) -> None:
        """Keep the copy of a version that has gone.

        Args:
            metadata: The version's metadata.
            copy: The copy of its data.
            now: When it went.
            for_good: Whether it was deleted by its generation, and so is not noncurrent at first.
        """
        with self._lock:
            version = Version({**metadata, "timeDeleted": _time(now)}, self._at(metadata))
            copy.replace(version.file)
            self._write(version)
            if for_good or not self._keeping(metadata["bucket"]).versions:
                self._soft_delete(version, now)

    def versions(self, bucket: str, now: datetime) -> list[Version]:
        """The noncurrent and the soft-deleted versions of a bucket, after all that is due."""
        with self._lock:
            self.settle(now)
            return list(self._all(bucket))

    def find(self, bucket: str, name: str, generation: str, now: datetime) -> Version | None:
        """A noncurrent version; None if there is none."""
        with self._lock:
            self.settle(now)
            metadata = {"bucket": bucket, "name": name, "generation": generation}
            version = _read(self._at(metadata).with_suffix(".json"))
            return version if version and not version.soft_deleted else None

    def delete(self, version: Version, now: datetime) -> None:
        """Delete a noncurrent version, which is soft-deleted from now on."""
        with self._lock:
            self._soft_delete(version, now)

    def settle(self, now: datetime) -> None:
        """Do what lifecycle rules and soft delete do by themselves, up to now."""
        with self._lock:
            if now < self._next:
                return
            self._next = _NEVER
            for folder in self._folder.iterdir() if self._folder.exists() else ():
                for version in self._all(folder.name):
                    self._settle(version, now)

    def holds_noncurrent(self, bucket: str, now: datetime) -> bool:
        """Whether a bucket has noncurrent versions, and so is not empty."""
        with self._lock:
            self.settle(now)
            return any(not version.soft_deleted for version in self._all(bucket))

    def drop(self, bucket: str) -> None:
        """Forget the versions of a bucket that is deleted."""
        with self._lock:
            shutil.rmtree(self._folder / bucket, ignore_errors=True)

    def _settle(self, version: Version, now: datetime) -> None:
        due = self._due(version)
        if due <= now and not version.soft_deleted:
            version = self._soft_delete(version, due)
            due = self._due(version)
        if due <= now:
            version.file.unlink(missing_ok=True)
            version.file.with_suffix(".json").unlink(missing_ok=True)
        else:
            self._next = min(self._next, due)

    def _due(self, version: Version) -> datetime:
        """When a noncurrent version is soft-deleted, or a soft-deleted one is gone."""
        if version.soft_deleted:
            return datetime.fromisoformat(version.metadata["hardDeleteTime"])
        days = self._keeping(version.metadata["bucket"]).noncurrent_days
        if days is None:
            return _NEVER
        return datetime.fromisoformat(version.metadata["timeDeleted"]) + timedelta(days=days)

    def _soft_delete(self, version: Version, at: datetime) -> Version:
        until = at + self._keeping(version.metadata["bucket"]).soft_delete
        times = {"softDeleteTime": _time(at), "hardDeleteTime": _time(until)}
        deleted = Version({**version.metadata, **times}, version.file)
        self._write(deleted)
        return deleted

    def _write(self, version: Version) -> None:
        replace_file(version.file.with_suffix(".json"), json.dumps(version.metadata))
        self._next = min(self._next, self._due(version))

    def _all(self, bucket: str) -> Iterator[Version]:
        for file in sorted((self._folder / bucket).glob("*.json")):
            if version := _read(file):
                yield version

    def _at(self, metadata: Json) -> Path:
        digest = hashlib.sha256(metadata["name"].encode()).hexdigest()[:32]
        return self._folder / metadata["bucket"] / f"{digest}-{metadata['generation']}.data"


def _read(file: Path) -> Version | None:
    if not file.exists():
        return None
    return Version(json.loads(file.read_text()), file.with_suffix(".data"))


def _time(at: datetime) -> str:
    """A time as Google writes it, which its clients insist on."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"

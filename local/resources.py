"""What the local cloud holds: every resource that a Pulumi program declared, in one file."""

import json
import os
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError


@dataclass(frozen=True)
class Resource:
    """One realised resource; `inputs` and `outputs` are JSON with the provider's camelCase names.

    `inputs` hold what the provider's configuration adds (project, region, zone, default labels).
    """

    urn: str
    type: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class ResourceStore:
    """The resources by type and id, kept in a JSON file; safe for threads, not for processes.

    The file is replaced whole at each change: a killed process leaves the old or the new one.
    It holds secret values in the clear and is readable by its owner alone.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.RLock()
        self._resources = {(r.type, r.id): r for r in _load(file)}

    def get(self, type: str, id: str) -> Resource | None:  # noqa: A002
        """The resource of this type token and id, if it exists."""
        with self._lock:
            return self._resources.get((type, id))

    def put(self, resource: Resource) -> None:
        """Keep `resource`, in place of the one with its type and id."""
        with self._changing() as resources:
            resources[resource.type, resource.id] = resource

    def add(self, resource: Resource) -> None:
        """Keep a new `resource`; raises UserError if its type and id are taken."""
        with self._changing() as resources:
            if (resource.type, resource.id) in resources:
                name = resource.type.rsplit(":", 1)[-1]
                raise UserError(f"{name} {resource.id!r} exists already; give another name")
            resources[resource.type, resource.id] = resource

    def remove(self, type: str, id: str) -> None:  # noqa: A002
        """Forget a resource; one that is not there is forgotten already."""
        with self._changing() as resources:
            resources.pop((type, id), None)

    def of_type(self, type: str) -> list[Resource]:  # noqa: A002
        """All resources of one type token, oldest first."""
        return [resource for resource in self.all() if resource.type == type]

    def all(self) -> list[Resource]:
        """All resources, oldest first."""
        with self._lock:
            return list(self._resources.values())

    @contextmanager
    def _changing(self) -> Generator[dict[tuple[str, str], Resource]]:
        with self._lock:
            changed = dict(self._resources)
            yield changed
            _save(self._file, changed.values())
            self._resources = changed


def _load(file: Path) -> list[Resource]:
    if not file.exists():
        return []
    try:
        return [Resource(**fields) for fields in json.loads(file.read_text())]
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{file} is not the local cloud's list of resources ({error}); "
            "remove the local cloud's folder and start again"
        ) from error


def _save(file: Path, resources: Iterable[Resource]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump([asdict(resource) for resource in resources], out, indent=1)
    temporary.replace(file)

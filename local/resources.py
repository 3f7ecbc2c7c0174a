"""Every resource that a Pulumi program has declared to the local cloud."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from local.records import Records
from pipeline.errors import UserError


class Resource(BaseModel, frozen=True):
    """One resource. `inputs` and `outputs` are JSON with the provider's camelCase names.

    `inputs` hold what the provider's configuration adds (project, region, zone, default labels).
    """

    urn: str
    type: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class ResourceStore:
    """The resources by type and id, in a file. It holds secret values in the clear."""

    def __init__(self, file: Path) -> None:
        self._records = Records(file, Resource)

    def get(self, type: str, id: str) -> Resource | None:  # noqa: A002
        """Returns the resource of this type token and id, if it exists."""
        return self._records.get(_name(type, id))

    def find(self, type: str, name: str) -> Resource | None:  # noqa: A002
        """Returns the resource of this type token whose id is `name` or ends in it."""
        found = (r for r in self.of_type(type) if name in (r.id, r.id.rpartition("/")[2]))
        return next(found, None)

    def put(self, resource: Resource) -> None:
        """Stores `resource` in place of the one with its type and id."""
        self._records.put(_name(resource.type, resource.id), resource)

    def add(self, resource: Resource) -> None:
        """Stores a new `resource`; raises UserError if its type and id are taken."""
        if not self._records.add(_name(resource.type, resource.id), resource):
            name = resource.type.rsplit(":", 1)[-1]
            raise UserError(f"{name} {resource.id!r} exists already; give another name")

    def remove(self, type: str, id: str) -> None:  # noqa: A002
        """Removes a resource, if it is there."""
        self._records.remove(_name(type, id))

    def of_type(self, type: str) -> list[Resource]:  # noqa: A002
        """Returns all resources of one type token, oldest first."""
        return [resource for resource in self.all() if resource.type == type]

    def all(self) -> list[Resource]:
        """Returns all resources, oldest first."""
        return self._records.all()


def _name(type_token: str, id_: str) -> str:
    return f"{type_token} {id_}"

"""Providers that only store the inputs of resources, for the program and for its twins.

They take the place of Google's providers, which take seconds for each resource. So the benchmark
shows the cost of the program and of the engine, without Google's.
"""

from collections.abc import Collection
from typing import Any, ClassVar

from local.engine.handler import Handler, Json
from local.engine.server import Invoke
from local.resources import Resource, ResourceStore
from tests.stacks.recorder import STORAGE_AGENT, computed


class Stored(Handler):
    """The handler of any type of resource. A resource that exists already is not an error."""

    additive: ClassVar = True

    def __init__(self, token: str) -> None:
        self._token = token

    def computed(self, inputs: Json) -> Json:
        """The outputs of a resource that the programs read."""
        return dict(computed(self._token, inputs, str(inputs.get("project", ""))))

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Return an id that follows from the name."""
        del inputs
        return f"{name}-id", {}


class Memory(ResourceStore):
    """Resources by type and id, in memory."""

    def __init__(self) -> None:
        self._by_id: dict[tuple[str, str], Resource] = {}

    def get(self, type: str, id: str) -> Resource | None:  # noqa: A002
        """The resource of this type token and id, if it exists."""
        return self._by_id.get((type, id))

    def put(self, resource: Resource) -> None:
        """Store the resource."""
        self._by_id[resource.type, resource.id] = resource


def handlers(tokens: Collection[str]) -> dict[str, Handler]:
    """A handler for each type token."""
    return {token: Stored(token) for token in tokens}


def invokes() -> dict[str, Invoke]:
    """The functions that the program calls; there is one."""

    def agent(arguments: Json) -> dict[str, Any]:
        del arguments
        return {"emailAddress": STORAGE_AGENT}

    return {"gcp:storage/getProjectServiceAccount:getProjectServiceAccount": agent}

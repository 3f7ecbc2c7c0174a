"""Providers that keep what they are given and do nothing, the same for both programs.

They stand in for Google's, whose answers take seconds each; they show what the program and the
engine cost, and nothing of what Google costs.
"""

from collections.abc import Collection
from typing import Any, ClassVar

from local.engine.handler import Handler, Json
from local.engine.server import Invoke
from local.resources import Resource, ResourceStore
from tests.stacks.recorder import STORAGE_AGENT, computed


class Kept(Handler):
    """Any type of resource; existing already is no error."""

    additive: ClassVar = True

    def __init__(self, token: str) -> None:
        self._token = token

    def computed(self, inputs: Json) -> Json:
        """What the programs read of a resource beside its inputs."""
        return dict(computed(self._token, inputs, str(inputs.get("project", ""))))

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its id is a function of its name."""
        del inputs
        return f"{name}-id", {}


class Memory(ResourceStore):
    """Resources by type and id, kept in no file."""

    def __init__(self) -> None:
        self._by_id: dict[tuple[str, str], Resource] = {}

    def get(self, type: str, id: str) -> Resource | None:  # noqa: A002
        """The resource of this type token and id, if it exists."""
        return self._by_id.get((type, id))

    def put(self, resource: Resource) -> None:
        """Keep it."""
        self._by_id[resource.type, resource.id] = resource


def handlers(tokens: Collection[str]) -> dict[str, Handler]:
    """One for each type token."""
    return {token: Kept(token) for token in tokens}


def invokes() -> dict[str, Invoke]:
    """The one function that the program calls."""

    def agent(arguments: Json) -> dict[str, Any]:
        del arguments
        return {"emailAddress": STORAGE_AGENT}

    return {"gcp:storage/getProjectServiceAccount:getProjectServiceAccount": agent}

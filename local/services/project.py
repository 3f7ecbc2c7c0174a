"""The project itself: its services, which are recorded, and what programs ask about it."""

import re
import secrets
from collections.abc import Callable
from typing import ClassVar

from local.apis import SERVICE
from local.provider.kinds import Json, Kind
from local.services.world import World


def kinds() -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {SERVICE: Service()}


def invokes(world: World) -> dict[str, Callable[[Json], Json]]:
    """The functions that programs call, by token."""
    return {
        "gcp:organizations/getClientConfig:getClientConfig": lambda args: {
            "id": f"projects/{world.project}",
            "project": args.get("project") or world.project,
            "region": args.get("region", ""),
            "zone": args.get("zone", ""),
            "accessToken": f"ya29.{secrets.token_urlsafe(24)}",
            "defaultLabels": {},
        },
        "gcp:storage/getProjectServiceAccount:getProjectServiceAccount": lambda args: {
            "id": world.storage_agent,
            "project": args.get("project") or world.project,
            "emailAddress": world.storage_agent,
            "member": f"serviceAccount:{world.storage_agent}",
        },
    }


class Service(Kind):
    """An API that is enabled, which `local.apis` asks for."""

    replace_on: ClassVar = frozenset({"service", "project"})
    additive: ClassVar = True

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """Services are called by their host."""
        if re.fullmatch(r"[a-z0-9-]+\.googleapis\.com", inputs["service"]):
            return []
        return [("service", f"{inputs['service']!r} is not the host of an API of Google's")]

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Record it."""
        del name
        return f"{inputs['project']}/{inputs['service']}", {}

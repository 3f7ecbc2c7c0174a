"""Networks and their parts, which are recorded: on one machine everything reaches everything."""

import re
from typing import ClassVar

from local.provider.kinds import Json, Kind
from local.services.world import World, items, short

NETWORK = "gcp:compute/network:Network"
SUBNETWORK = "gcp:compute/subnetwork:Subnetwork"
ROUTER = "gcp:compute/router:Router"
NAT = "gcp:compute/routerNat:RouterNat"

_API = "https://www.googleapis.com/compute/v1/"


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    regional = "projects/{project}/regions/{region}"
    return {
        NETWORK: Part(world, "projects/{project}/global/networks/{name}"),
        SUBNETWORK: Part(world, f"{regional}/subnetworks/{{name}}"),
        ROUTER: Part(world, f"{regional}/routers/{{name}}"),
        NAT: Part(world, f"{regional}/routers/{{router}}/{{name}}"),
    }


class Part(Kind):
    """A network, or a part of one, whose full name `path` tells."""

    replace_on: ClassVar = frozenset(
        {"name", "project", "region", "network", "router", "autoCreateSubnetworks"}
    )

    def __init__(self, world: World, path: str) -> None:
        self._world = world
        self._path = path

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """Compute Engine's names are 1 to 63 characters."""
        name = inputs["name"]
        if re.fullmatch(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?", name):
            return []
        return [("name", f"{name!r} is not 1 to 63 lower-case letters, digits and hyphens")]

    def computed(self, inputs: Json) -> Json:
        """Its link, which follows from its full name."""
        return {"selfLink": _API + self._path.format_map(inputs)}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its id is its full name; refused where what it is part of is not there."""
        del name
        region = f"projects/{inputs['project']}/regions/{inputs.get('region')}"
        if "network" in inputs:
            network = f"projects/{inputs['project']}/global/networks/{short(inputs['network'])}"
            self._world.declared(NETWORK, network)
        if "router" in inputs:
            self._world.declared(ROUTER, f"{region}/routers/{inputs['router']}")
        for subnetwork in items(inputs, "subnetworks"):
            self._world.declared(SUBNETWORK, f"{region}/subnetworks/{short(subnetwork['name'])}")
        return self._path.format_map(inputs), {"creationTimestamp": self._world.timestamp()}

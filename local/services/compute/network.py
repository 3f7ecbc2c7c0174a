"""Networks and their parts. They are only recorded: on one machine everything is connected."""

from typing import ClassVar

from local.engine.handler import Json
from local.services.context import items, short
from local.services.handler import GoogleHandler

NETWORK = "gcp:compute/network:Network"
SUBNETWORK = "gcp:compute/subnetwork:Subnetwork"
ROUTER = "gcp:compute/router:Router"
NAT = "gcp:compute/routerNat:RouterNat"

API = "https://www.googleapis.com/compute/v1/"
"""What stands before a full name in a link."""
_REGION = "projects/{project}/regions/{region}"


class Network(GoogleHandler):
    """A network."""

    replace_on: ClassVar = frozenset(
        {"name", "project", "region", "network", "router", "autoCreateSubnetworks"}
    )
    full_name: ClassVar = "projects/{project}/global/networks/{name}"
    formats: ClassVar = {
        "name": (
            r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?",
            "1 to 63 lower-case letters, digits and hyphens",
        )
    }

    def computed(self, inputs: Json) -> Json:
        """Returns the link, which follows from the full name."""
        return {"selfLink": API + self.full_name.format_map(inputs)}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records it; refused where what it refers to does not exist."""
        if "network" in inputs:
            network = {**inputs, "name": short(inputs["network"])}
            self._context.declared(NETWORK, Network.full_name.format_map(network))
        if "router" in inputs:
            router = {**inputs, "name": inputs["router"]}
            self._context.declared(ROUTER, Router.full_name.format_map(router))
        for given in items(inputs, "subnetworks"):
            subnetwork = {**inputs, "name": short(given["name"])}
            self._context.declared(SUBNETWORK, Subnetwork.full_name.format_map(subnetwork))
        full_name, _ = super().create(name, inputs)
        return full_name, {"creationTimestamp": self._context.timestamp()}


class Subnetwork(Network):
    """A part of a network in one region."""

    full_name: ClassVar = f"{_REGION}/subnetworks/{{name}}"


class Router(Network):
    """A router of a network."""

    full_name: ClassVar = f"{_REGION}/routers/{{name}}"


class Nat(Network):
    """The address translation of a router."""

    full_name: ClassVar = f"{_REGION}/routers/{{router}}/{{name}}"

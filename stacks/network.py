"""The network of the training machines. They can reach out, and nothing can reach them."""

import pulumi_gcp as gcp

from stacks import naming
from stacks.component import Component
from stacks.project import Project

# Room for 252 machines. A run has at most 20, and nothing else is in this network.
_RANGE = "10.0.0.0/24"


class Network(Component):
    """A network without firewall rules: Google's implied rules let nothing in.

    A project's default network lets SSH in from anywhere, and many organisations forbid it.
    Machines without public addresses reach Google by Private Google Access, and everything else
    (the first download of the base model) by a NAT gateway.

    Attributes:
        ready: The resource that must exist before a machine can reach anything.
    """

    def __init__(self, project: Project, *, public_address: bool) -> None:
        super().__init__(project.named("network"), project)
        self._public_address = public_address
        name = naming.network(project.stack.name)
        network = gcp.compute.Network(
            self.named("training"),
            gcp.compute.NetworkArgs(name=name, auto_create_subnetworks=False),
            self.child(project.service("compute")),
        )
        self._subnetwork = gcp.compute.Subnetwork(
            self.named("training"),
            gcp.compute.SubnetworkArgs(
                name=name,
                network=network.id,
                region=project.stack.region,
                ip_cidr_range=_RANGE,
                private_ip_google_access=True,
            ),
            self.child(),
        )
        self.ready = self._subnetwork if public_address else self._gateway(name, network)
        self.register_outputs({})

    def interface(self) -> gcp.compute.InstanceTemplateNetworkInterfaceArgs:
        """A machine's place in this network."""
        return gcp.compute.InstanceTemplateNetworkInterfaceArgs(
            subnetwork=self._subnetwork.id,
            access_configs=[gcp.compute.InstanceTemplateNetworkInterfaceAccessConfigArgs()]
            if self._public_address
            else None,
        )

    def _gateway(self, name: str, network: gcp.compute.Network) -> gcp.compute.RouterNat:
        router = gcp.compute.Router(
            self.named("training"),
            gcp.compute.RouterArgs(name=name, network=network.id, region=self._subnetwork.region),
            self.child(),
        )
        return gcp.compute.RouterNat(
            self.named("training"),
            gcp.compute.RouterNatArgs(
                name=name,
                router=router.name,
                region=router.region,
                nat_ip_allocate_option="AUTO_ONLY",
                source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
                subnetworks=[
                    gcp.compute.RouterNatSubnetworkArgs(
                        name=self._subnetwork.id, source_ip_ranges_to_nats=["ALL_IP_RANGES"]
                    )
                ],
            ),
            self.child(),
        )

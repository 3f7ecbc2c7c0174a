"""The training machines' network and environment."""

from typing import Any

import pytest
import yaml

from tests.stacks.recorder import Recorder, declare, stack_values
from trainer_image.config import Config

TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"


def training(**changes: Any) -> Recorder:
    """prod with these values of `training`."""
    values = stack_values("prod")
    values["gpt2-bots:training"] |= changes
    return declare("prod", values)


def interface(recorder: Recorder) -> dict[str, Any]:
    """The network interface, which all templates share and machines take from their template."""
    first, *others = [t.inputs["networkInterfaces"] for t in recorder.of(TEMPLATE)]
    assert all(other == first for other in others)
    (interface,) = first
    return interface


def test_a_training_machine_gives_the_trainer_every_variable_that_it_reads() -> None:
    values = stack_values("prod") | {"gpt2-bots:keep": {"releases": 7}}
    for template in declare("prod", values).of(TEMPLATE):
        written = yaml.safe_load(template.inputs["metadata"]["user-data"])["write_files"]
        (variables,) = [f["content"] for f in written if f["path"] == "/etc/trainer/container.env"]
        told = Config.read(dict(line.split("=", 1) for line in variables.splitlines()))
        assert told.keep_releases == 7


@pytest.mark.parametrize("public", [True, False])
def test_nothing_reaches_a_training_machine(public: bool) -> None:
    recorder = training(public_address=public)
    network = recorder.one("gcp:compute/network:Network")
    assert network.inputs["autoCreateSubnetworks"] is False
    # Without rules, Google's implied rules apply: nothing comes in, everything may go out.
    assert not recorder.any_of("gcp:compute/firewall:Firewall")
    assert set(interface(recorder)) <= {"subnetwork", "accessConfigs"}


def test_a_machine_without_a_public_address_uses_a_nat_gateway() -> None:
    recorder = training(public_address=False)
    assert "accessConfigs" not in interface(recorder)
    subnetwork = recorder.one("gcp:compute/subnetwork:Subnetwork")
    gateway = recorder.one("gcp:compute/routerNat:RouterNat")
    assert subnetwork.inputs["privateIpGoogleAccess"] is True
    assert [s["name"] for s in gateway.inputs["subnetworks"]] == [f"{subnetwork.name}-id"]
    # No machine, by hand or on schedule, is created before the gateway.
    for template in recorder.of(TEMPLATE):
        assert gateway.key in template.needs


def test_a_machine_with_a_public_address_has_no_gateway() -> None:
    recorder = training(public_address=True)
    assert len(interface(recorder)["accessConfigs"]) == 1
    assert not recorder.any_of("gcp:compute/router:Router")
    assert not recorder.any_of("gcp:compute/routerNat:RouterNat")


def test_without_training_there_is_no_network() -> None:
    values = stack_values("prod")
    del values["gpt2-bots:training"]
    recorder = declare("prod", values)
    assert not [r for r in recorder.resources if r.type.startswith("gcp:compute/")]

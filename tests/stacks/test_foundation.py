"""Buckets, network and images as the stack file asks for them."""

from typing import Any

import pytest
import yaml

from pipeline.errors import UserError
from stacks import stack_file
from tests.stacks.recorder import Recorder, declare, stack_values
from trainer_image.config import Config

DAY = 24 * 3600
IMAGES = {
    program: f"europe-west4-docker.pkg.dev/elsewhere/images/{program}@sha256:{digit * 64}"
    for program, digit in [("app", "a"), ("control", "d"), ("scraper", "b"), ("trainer", "c")]
}


def prod(**values: Any) -> Recorder:
    """prod, with these values of its own keys, and those of `training` in it."""
    given = stack_values("prod")
    given["gpt2-bots:training"] |= values.pop("training", {})
    return declare("prod", given | {f"gpt2-bots:{key}": value for key, value in values.items()})


def buckets(recorder: Recorder) -> dict[str, dict[str, Any]]:
    return {b.name: dict(b.inputs) for b in recorder.of("gcp:storage/bucket:Bucket")}


def test_what_is_deleted_can_be_had_back_for_as_long_as_the_stack_file_says() -> None:
    found = buckets(prod(keep={"tweets_days": 0, "models_days": 90}))
    kept = {name: b["softDeletePolicy"]["retentionDurationSeconds"] for name, b in found.items()}
    assert kept == {"data": 0, "models": 90 * DAY}


def test_tweets_are_gone_for_good_soonest_after_a_week() -> None:
    found = buckets(prod())
    assert found["data"]["softDeletePolicy"] == {"retentionDurationSeconds": 7 * DAY}


def test_an_old_version_is_not_kept_twice_as_long() -> None:
    for bucket in buckets(prod()).values():
        (days,) = [
            rule["condition"]["daysSinceNoncurrentTime"]
            for rule in bucket["lifecycleRules"]
            if rule["action"]["type"] == "Delete"
        ]
        assert days == 1


@pytest.mark.parametrize("key", ["tweets_days", "models_days"])
@pytest.mark.parametrize(("days", "error"), [(3, "3 days cannot be had"), (91, "91"), (-1, "-1")])
def test_days_that_cloud_storage_does_not_take_are_named(key: str, days: int, error: str) -> None:
    values = stack_values("prod") | {"gpt2-bots:keep": {key: days}}
    with pytest.raises(UserError, match=f"keep.{key}: {error}"):
        stack_file.load("prod", values)


TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"


def interface(recorder: Recorder) -> dict[str, Any]:
    """What all templates have; a machine takes it from its template."""
    first, *others = [t.inputs["networkInterfaces"] for t in recorder.of(TEMPLATE)]
    assert all(other == first for other in others)
    (interface,) = first
    return interface


def test_a_training_machine_tells_the_trainer_all_that_it_asks_for() -> None:
    templates = prod(keep={"releases": 7}).of(TEMPLATE)
    assert templates
    for template in templates:
        written = yaml.safe_load(template.inputs["metadata"]["user-data"])["write_files"]
        (variables,) = [f["content"] for f in written if f["path"] == "/etc/trainer/container.env"]
        told = Config.read(dict(line.split("=", 1) for line in variables.splitlines()))
        assert told.keep_releases == 7


@pytest.mark.parametrize("public", [True, False])
def test_nothing_reaches_a_training_machine(public: bool) -> None:
    recorder = prod(training={"public_address": public})
    (network,) = recorder.of("gcp:compute/network:Network")
    assert network.inputs["autoCreateSubnetworks"] is False
    # Without a rule, Google's own two hold: nothing comes in, everything may go out.
    assert not recorder.of("gcp:compute/firewall:Firewall")
    assert set(interface(recorder)) <= {"subnetwork", "accessConfigs"}


def test_a_machine_without_a_public_address_goes_out_by_a_gateway() -> None:
    recorder = prod(training={"public_address": False})
    assert "accessConfigs" not in interface(recorder)
    (subnetwork,) = recorder.of("gcp:compute/subnetwork:Subnetwork")
    (gateway,) = recorder.of("gcp:compute/routerNat:RouterNat")
    assert subnetwork.inputs["privateIpGoogleAccess"] is True
    assert [s["name"] for s in gateway.inputs["subnetworks"]] == [f"{subnetwork.name}-id"]
    # By hand or on schedule, no machine is made before it can reach anything.
    for template in recorder.of(TEMPLATE):
        assert gateway.key in template.needs


def test_a_machine_with_a_public_address_costs_no_gateway() -> None:
    recorder = prod(training={"public_address": True})
    assert len(interface(recorder)["accessConfigs"]) == 1
    assert not recorder.of("gcp:compute/router:Router")
    assert not recorder.of("gcp:compute/routerNat:RouterNat")


def test_without_training_there_is_no_network() -> None:
    values = stack_values("prod")
    del values["gpt2-bots:training"]
    recorder = declare("prod", values)
    assert not [r for r in recorder.resources if r.type.startswith("gcp:compute/")]


def test_given_images_are_built_by_nobody_and_run_as_they_are_given() -> None:
    recorder = prod(images=IMAGES)
    assert not [r for r in recorder.resources if r.type.startswith("docker:")]
    # The seed needs no Docker either: a tag in the registry, made from a digest there.
    assert {tuple(i.inputs["sources"]) for i in recorder.of("docker-build:index:Index")} == {
        (IMAGES["app"],)
    }
    for pointer in recorder.of("gcp:storage/bucketObject:BucketObject"):
        if pointer.inputs["name"].startswith("rollout/base/"):
            assert IMAGES["app"] in str(pointer.inputs["content"])
    told = str([r.inputs for r in recorder.resources])
    assert IMAGES["scraper"] in told
    assert IMAGES["trainer"] in told


def test_giving_images_renames_nothing() -> None:
    built = {(r.type, r.name) for r in prod().resources if not r.type.startswith("docker:")}
    assert {(r.type, r.name) for r in prod(images=IMAGES).resources} == built

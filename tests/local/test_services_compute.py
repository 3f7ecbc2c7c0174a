"""Compute Engine: templates and the machines that are made from them."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from local.cloud import Cloud
from tests.local.conftest import Clouds
from tests.local.declaring import INSTANCE, TEMPLATE, Declarer, Refused

POWER_OFF = """#cloud-config
runcmd:
- |
  url=http://metadata.google.internal/computeMetadata/v1
  ask() { curl -sf -H "Metadata-Flavor: Google" $url/$1; }
  echo "I am $(ask instance/name) to $(ask instance/attributes/mode)"
  echo "as $(ask instance/service-accounts/default/email)"
  poweroff
"""
STAYS = "#cloud-config\nruncmd:\n- echo up; sleep 300\n"


def template(declarer: Declarer, user_data: str, **more: Any) -> dict[str, Any]:
    account = declarer.account("trainer")
    given = {
        "machineType": "e2-standard-4",
        "disks": [{"sourceImage": "projects/cos-cloud/global/images/family/cos-stable"}],
        "metadata": {"user-data": user_data, "mode": "train"},
        "serviceAccount": {"email": account["email"], "scopes": ["cloud-platform"]},
        **more,
    }
    return declarer.declare(TEMPLATE, "trainer", namePrefix="trainer-", **given)


def instance(declarer: Declarer, source: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = {"name": "train-1", "zone": "europe-west4-a", **more}
    return declarer.declare(
        INSTANCE, given["name"], sourceInstanceTemplate=source["selfLinkUnique"], **given
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_off(cloud: Cloud) -> None:
    until(lambda: {i.status for i in cloud.instances.all()} == {"TERMINATED"})


def serial(cloud: Cloud) -> str:
    return (cloud.home / "logs/instances/train-1.log").read_text()


def test_a_machine_runs_its_templates_user_data_and_powers_itself_off(
    cloud: Cloud, declarer: Declarer
) -> None:
    made = instance(declarer, template(declarer, POWER_OFF))
    assert made["id"] == "projects/test-project/zones/europe-west4-a/instances/train-1"
    assert made["currentStatus"] == "RUNNING"
    until_off(cloud)
    assert "I am train-1 to train" in serial(cloud)
    assert "as trainer-account@test-project.iam.gserviceaccount.com" in serial(cloud)
    now = declarer.read(INSTANCE, "train-1")
    assert now is not None
    assert now["currentStatus"] == "TERMINATED"


def test_metadata_of_its_own_replaces_the_templates_whole(cloud: Cloud, declarer: Declarer) -> None:
    instance(declarer, template(declarer, POWER_OFF), metadata={"mode": "other"})
    until(lambda: "no user-data" in serial(cloud))
    assert "I am train-1" not in serial(cloud)


def test_deleting_a_running_machine_kills_it(cloud: Cloud, declarer: Declarer) -> None:
    instance(declarer, template(declarer, STAYS))
    until(lambda: "up" in serial(cloud))
    declarer.remove(INSTANCE, "train-1")
    assert cloud.instances.all() == []
    assert not cloud.world.processes.busy


def test_names_are_unique_in_a_zone(cloud: Cloud, declarer: Declarer) -> None:
    source = template(declarer, STAYS)
    instance(declarer, source)
    with pytest.raises(Refused, match="already exists"):
        declarer.declare(
            INSTANCE,
            "again",
            sourceInstanceTemplate=source["selfLink"],
            name="train-1",
            zone="europe-west4-a",
        )
    declarer.declare(
        INSTANCE,
        "elsewhere",
        sourceInstanceTemplate=source["selfLink"],
        name="train-1",
        zone="europe-west4-b",
    )
    assert len(cloud.instances.all()) == 2


@pytest.mark.parametrize(("action", "left"), [("STOP", ["TERMINATED"]), ("DELETE", [])])
def test_a_machine_runs_no_longer_than_its_maximum(
    cloud: Cloud, declarer: Declarer, action: str, left: list[str]
) -> None:
    scheduling = {"maxRunDuration": {"seconds": 3600}, "instanceTerminationAction": action}
    instance(declarer, template(declarer, STAYS), scheduling=scheduling)
    until(lambda: "up" in serial(cloud))
    cloud.clock.advance_to(cloud.clock.now() + timedelta(hours=1))
    until(lambda: not cloud.world.processes.busy)
    until(lambda: [i.status for i in cloud.instances.all()] == left)
    assert "it ran for its maximum of 3600 s" in serial(cloud)


def test_a_machine_that_deleted_itself_fails_to_be_deleted_and_is_gone_at_refresh(
    cloud: Cloud, declarer: Declarer
) -> None:
    test_a_machine_runs_no_longer_than_its_maximum(cloud, declarer, "DELETE", [])
    with pytest.raises(Refused, match="was not found"):
        declarer.remove(INSTANCE, "train-1")
    assert declarer.read(INSTANCE, "train-1") is None


def test_a_machine_that_ran_when_the_cloud_stopped_boots_again(clouds: Clouds) -> None:
    cloud = clouds("home")
    declarer = Declarer(cloud)
    instance(declarer, template(declarer, STAYS))
    until(lambda: serial(cloud).count("up") == 1)
    declarer.close()
    again = clouds("home")
    until(lambda: serial(again).count("up") == 2)


def test_a_machine_that_is_off_stays_off(clouds: Clouds) -> None:
    cloud = clouds("home")
    declarer = Declarer(cloud)
    instance(declarer, template(declarer, POWER_OFF))
    until_off(cloud)
    declarer.close()
    again = clouds("home")
    assert not again.world.processes.busy
    assert serial(again).count("I am train-1") == 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"zone": "europe-west4"}, "zone: 'europe-west4' is no zone"),
        ({"name": "Train"}, "name: 'Train' is not 1 to 63"),
        (
            {"scheduling": {"instanceTerminationAction": "DELETE"}},
            "instanceTerminationAction: DELETE needs maxRunDuration",
        ),
        ({"scheduling": {"maxRunDuration": {"seconds": 5}}}, "5 s is not within 30 s"),
        (
            {"guestAccelerators": [{"type": "nvidia-tesla-t4", "count": 1}]},
            "onHostMaintenance: a machine with a GPU needs TERMINATE",
        ),
        (
            {"serviceAccount": {"email": "x@test-project.iam.gserviceaccount.com", "scopes": []}},
            "x@.* does not exist",
        ),
    ],
)
def test_a_machine_that_google_would_refuse_is_refused(
    cloud: Cloud, declarer: Declarer, changes: dict[str, Any], complaint: str
) -> None:
    source = template(declarer, STAYS)
    with pytest.raises(Refused, match=complaint):
        instance(declarer, source, **changes)
    assert cloud.instances.all() == []

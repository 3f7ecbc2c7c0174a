"""Compute Engine: templates and the machines that are made from them."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from google.oauth2.credentials import Credentials

from control_image.compute import Compute as Client
from control_image.compute import Machine
from control_image.compute import Refused as NoMachine
from local.cloud import Cloud
from local.gateway.iam import OPERATOR
from tests.conftest import Misfits
from tests.google_api import authenticate
from tests.local.conftest import Clouds
from tests.local.declaring import INSTANCE, PROJECT_GRANT, TEMPLATE, Declarer, Refused

CONTRACTS = {
    "local/services/compute/api.py": "Google's discovery documents, at every call",
}

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


def test_an_instances_own_metadata_replaces_the_templates(cloud: Cloud, declarer: Declarer) -> None:
    instance(declarer, template(declarer, POWER_OFF), metadata={"mode": "other"})
    until(lambda: "no user-data" in serial(cloud))
    assert "I am train-1" not in serial(cloud)


def test_deleting_a_running_machine_kills_it(cloud: Cloud, declarer: Declarer) -> None:
    instance(declarer, template(declarer, STAYS))
    until(lambda: "up" in serial(cloud))
    declarer.remove(INSTANCE, "train-1")
    assert cloud.instances.all() == []
    assert not cloud.context.processes.busy


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
    until(lambda: not cloud.context.processes.busy)
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
    assert not again.context.processes.busy
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


def test_the_jobs_own_client_inserts_lists_watches_and_deletes_a_machine(
    cloud: Cloud, declarer: Declarer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.network("job", OPERATOR, {}).items():
        monkeypatch.setenv(name, value)
    # Google's library reads the metadata server's address once, when it is imported.
    credentials = Credentials(cloud.gateway.token(OPERATOR))
    authenticate(monkeypatch, credentials, "test-project")
    client = Client.open("test-project", cloud.clock.now, time.sleep)
    machine = Machine("train-1", "europe-west4-a")
    later = cloud.clock.now() + timedelta(minutes=1)
    client.insert(machine, template(declarer, POWER_OFF)["id"], later)
    client.insert(machine, template(declarer, POWER_OFF)["id"], later)
    assert client.machines("train-") == [machine]
    assert client.machines("other-") == []
    until(lambda: client.status(machine) == "TERMINATED")
    operation = client.delete(machine)
    assert operation is not None
    client.wait(machine.zone, operation, later)
    assert client.status(machine) is client.delete(machine) is None
    with pytest.raises(NoMachine, match=r"^HTTP 404 the instance template none was not found"):
        client.insert(machine, "none", later)


PROJECT = "projects/test-project"
ZONE = f"{PROJECT}/zones/europe-west4-a"


def ask(cloud: Cloud, method: str, path: str, who: str, **given: Any) -> requests.Response:
    """What Compute's REST API answers to an account."""
    token = {"Authorization": f"Bearer {cloud.gateway.token(who)}"}
    place = PROJECT if path.startswith("aggregated/") else ZONE
    url = f"{cloud.gateway.url}/compute/v1/{place}/{path}"
    return requests.request(method, url, headers=token, timeout=30, **given)


def test_a_machine_is_inserted_watched_and_deleted_over_http(
    cloud: Cloud, declarer: Declarer
) -> None:
    from_it = {"sourceInstanceTemplate": template(declarer, POWER_OFF)["id"]}
    body = {"name": "train-1"}
    done = ask(cloud, "POST", "instances", OPERATOR, params=from_it, json=body)
    operation = ask(cloud, "GET", f"operations/{done.json()['name']}", OPERATOR)
    assert operation.json()["status"] == "DONE"
    assert ask(cloud, "POST", "instances", OPERATOR, params=from_it, json=body).status_code == 409
    until_off(cloud)
    assert "I am train-1 to train" in serial(cloud)
    found = ask(cloud, "GET", "instances/train-1", OPERATOR).json()
    assert (found["name"], found["status"]) == ("train-1", "TERMINATED")
    assert ask(cloud, "DELETE", "instances/train-1", OPERATOR).ok
    assert ask(cloud, "DELETE", "instances/train-1", OPERATOR).status_code == 404
    assert ask(cloud, "GET", "instances/train-1", OPERATOR).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("POST", "instances", "compute.instanceTemplates.useReadOnly"),
        ("GET", "instances/train-1", "compute.instances.get"),
        ("DELETE", "instances/train-1", "compute.instances.delete"),
        ("GET", "operations/operation-1", "compute.zoneOperations.get"),
        ("GET", "aggregated/instances", "compute.instances.list"),
    ],
)
def test_nobody_inserts_watches_or_deletes_without_the_permission(
    cloud: Cloud, declarer: Declarer, method: str, path: str, permission: str
) -> None:
    source = template(declarer, STAYS)["id"]
    stranger = "stranger@test-project.iam.gserviceaccount.com"
    given = {"params": {"sourceInstanceTemplate": source}, "json": {"name": "train-1"}}
    answer = ask(cloud, method, path, stranger, **(given if method == "POST" else {}))
    assert answer.status_code == 403
    assert f"{stranger} lacks {permission}" in answer.json()["error"]["message"]


def test_inserting_a_machine_needs_the_right_to_act_as_its_account(
    cloud: Cloud, declarer: Declarer
) -> None:
    source = template(declarer, POWER_OFF)["id"]
    maker = declarer.account("maker")
    role = {"project": "test-project", "role": "roles/compute.instanceAdmin.v1"}
    declarer.declare(PROJECT_GRANT, "maker", member=maker["member"], **role)
    given = {"params": {"sourceInstanceTemplate": source}, "json": {"name": "train-1"}}
    refused = ask(cloud, "POST", "instances", maker["email"], **given)
    assert "lacks iam.serviceAccounts.actAs on" in refused.json()["error"]["message"]
    assert cloud.instances.all() == []
    declarer.declare(
        PROJECT_GRANT,
        "user",
        project="test-project",
        role="roles/iam.serviceAccountUser",
        member=maker["member"],
    )
    assert ask(cloud, "POST", "instances", maker["email"], **given).ok
    until_off(cloud)


def test_a_template_that_is_not_there_is_not_found(cloud: Cloud) -> None:
    given = {"params": {"sourceInstanceTemplate": "none"}, "json": {"name": "train-1"}}
    answer = ask(cloud, "POST", "instances", OPERATOR, **given)
    assert answer.status_code == 404
    assert "the instance template none was not found" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", ["", "{", "[]", "{}"])
def test_an_insert_without_a_name_is_refused(cloud: Cloud, misfits: Misfits, body: str) -> None:
    assert ask(cloud, "POST", "instances", OPERATOR, data=body).status_code == 400
    assert len(misfits.take()) == 1


def test_other_calls_of_compute_are_refused_as_unknown(cloud: Cloud) -> None:
    assert ask(cloud, "POST", "instances/train-1/reset", OPERATOR).status_code == 501
    assert ask(cloud, "GET", "instances", OPERATOR).status_code == 501

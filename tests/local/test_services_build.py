"""From an object to a build: notification, topic, trigger, filter, steps."""

# pyright: reportPrivateUsage=false

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from local.cloud import Cloud
from local.services.cloudbuild.builds import Build
from tests.local.conftest import Clouds
from tests.local.declaring import (
    NOTIFICATION,
    OBJECT,
    PROJECT_GRANT,
    TOPIC,
    TOPIC_GRANT,
    TRIGGER,
    Declarer,
    Refused,
    log,
)

NOBODY = "projects/test-project/serviceAccounts/x@test-project.iam.gserviceaccount.com"
BASH = "debian:12.11-slim"


def pipeline(declarer: Declarer) -> None:
    """A bucket whose objects below rollout/ start a build that says which object it was."""
    declarer.bucket("models")
    builder = declarer.account("builder")
    topic = declarer.declare(TOPIC, "rollout", name="rollout")
    declarer.declare(
        TOPIC_GRANT,
        "agent",
        topic="rollout",
        role="roles/pubsub.publisher",
        member=f"serviceAccount:{declarer.cloud.context.storage_agent}",
    )
    declarer.declare(
        PROJECT_GRANT,
        "log",
        project="test-project",
        role="roles/logging.logWriter",
        member=builder["member"],
    )
    declarer.declare(
        NOTIFICATION,
        "pointers",
        bucket="models",
        topic=topic["id"],
        payloadFormat="JSON_API_V1",
        eventTypes=["OBJECT_FINALIZE"],
        objectNamePrefix="rollout/",
    )
    declarer.declare(
        TRIGGER,
        "rollout",
        name="rollout",
        location="europe-west4",
        serviceAccount=builder["id"],
        pubsubConfig={"topic": topic["id"]},
        substitutions={
            "_EVENT": "$(body.message.attributes.eventType)",
            "_OBJECT": "$(body.message.attributes.objectId)",
            "_SIZE": "$(body.message.data.size)",
        },
        filter='_EVENT == "OBJECT_FINALIZE" && _OBJECT.endsWith(".json")',
        build=build('echo "saw $OBJECT of $SIZE by $EMAIL in $PLACE"'),
    )


def build(script: str, **more: Any) -> dict[str, Any]:
    envs = ["OBJECT=$_OBJECT", "SIZE=$_SIZE", "EMAIL=$SERVICE_ACCOUNT_EMAIL", "PLACE=$LOCATION"]
    step = {"name": BASH, "script": f"#!/bin/bash\n{script}\n", "envs": envs}
    return {"steps": [step], "options": {"logging": "CLOUD_LOGGING_ONLY"}, **more}


def redeclare(declarer: Declarer, **changes: Any) -> None:
    declarer.declare(TRIGGER, "rollout", **{**declarer._inputs[TRIGGER, "rollout"], **changes})


def write(declarer: Declarer, name: str, content: str = "{}") -> None:
    declarer.declare(OBJECT, name, bucket="models", name=name, content=content)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def builds(cloud: Cloud) -> list[Build]:
    """The builds, once all have ended."""
    until(lambda: not cloud.builds.running())
    return cloud.builds.all()


def test_an_object_starts_the_build_that_the_trigger_declares(
    cloud: Cloud, declarer: Declarer
) -> None:
    pipeline(declarer)
    write(declarer, "rollout/keeper.json", "{ }")
    (done,) = builds(cloud)
    assert done.status == "SUCCESS"
    account = "builder-account@test-project.iam.gserviceaccount.com"
    assert f"saw rollout/keeper.json of 3 by {account} in europe-west4" in log(done.log)


def test_a_changed_step_changes_what_happens(cloud: Cloud, declarer: Declarer) -> None:
    pipeline(declarer)
    redeclare(declarer, build=build("echo quite; echo different; exit 4"))
    write(declarer, "rollout/keeper.json")
    (done,) = builds(cloud)
    assert (done.status, done.reason) == ("FAILURE", "a step exited with 4")
    assert "different" in log(done.log)


@pytest.mark.parametrize("name", ["other/keeper.json", "rollout/keeper.txt", "rollout.json"])
def test_prefix_and_filter_decide_which_objects_count(
    cloud: Cloud, declarer: Declarer, name: str
) -> None:
    pipeline(declarer)
    write(declarer, name)
    assert builds(cloud) == []


def test_a_changed_filter_is_the_one_that_counts(cloud: Cloud, declarer: Declarer) -> None:
    pipeline(declarer)
    redeclare(declarer, filter='_OBJECT.endsWith(".txt")')
    write(declarer, "rollout/keeper.json")
    write(declarer, "rollout/keeper.txt")
    assert [done.substitutions["_OBJECT"] for done in builds(cloud)] == ["rollout/keeper.txt"]


def test_a_disabled_trigger_starts_nothing(cloud: Cloud, declarer: Declarer) -> None:
    pipeline(declarer)
    redeclare(declarer, disabled=True)
    write(declarer, "rollout/keeper.json")
    assert builds(cloud) == []


def test_a_trigger_without_a_message_for_31_days_starts_no_build_again(clouds: Clouds) -> None:
    cloud = clouds("home")
    declarer = Declarer(cloud)
    pipeline(declarer)
    cloud.clock.advance_to(cloud.clock.now() + timedelta(days=30))
    write(declarer, "rollout/keeper.json", "{ }")
    assert len(builds(cloud)) == 1
    cloud.clock.advance_to(cloud.clock.now() + timedelta(days=31, seconds=1))
    declarer.close()
    # It does not come back with the local cloud, either.
    cloud, known = clouds("home"), declarer
    declarer = Declarer(cloud)
    declarer._inputs, declarer._outputs = known._inputs, known._outputs
    write(declarer, "rollout/baker.json", "{ }")
    assert len(builds(cloud)) == 1
    assert "rollout starts no build: its subscription expired" in cloud.status()["problems"][-1]
    trigger = declarer._inputs[TRIGGER, "rollout"]
    declarer.remove(TRIGGER, "rollout")
    declarer.declare(TRIGGER, "rollout", **trigger)
    write(declarer, "rollout/frog.json", "{ }")
    assert len(builds(cloud)) == 2
    declarer.close()


def test_a_name_from_outside_is_never_run(cloud: Cloud, declarer: Declarer) -> None:
    pipeline(declarer)
    write(declarer, 'rollout/";echo pwned;".json')
    (done,) = builds(cloud)
    assert 'saw rollout/";echo pwned;".json of 2' in log(done.log)


def test_a_build_is_ended_when_its_timeout_is_over(cloud: Cloud, declarer: Declarer) -> None:
    pipeline(declarer)
    redeclare(declarer, build=build("sleep 60", timeout="1s"))
    write(declarer, "rollout/keeper.json")
    (done,) = builds(cloud)
    assert done.status == "FAILURE"


def test_a_build_that_the_end_of_the_cloud_interrupted_is_run_again(clouds: Clouds) -> None:
    cloud = clouds("home")
    declarer = Declarer(cloud)
    pipeline(declarer)
    redeclare(declarer, build=build("sleep 60"))
    write(declarer, "rollout/keeper.json")
    until(lambda: (made := cloud.builds.all()[0].log).exists() and "Starting" in log(made))
    declarer.close()
    again = clouds("home")
    until(lambda: log(again.builds.all()[0].log).count("Starting") == 2)
    assert again.builds.all()[0].status == "WORKING"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"filter": "_OBJECT.sizes() > 3"}, "filter: the filter .* is not understood"),
        (
            {"build": {**build("true"), "options": {}}},
            r"build\.options\.logging: .* set CLOUD_LOGGING_ONLY",
        ),
        ({"build": build("true", timeout="10m")}, "build.timeout: '10m' is not a number"),
        ({"filename": "cloudbuild.yaml"}, "build: give exactly one of"),
        ({"substitutions": {"OBJECT": "x"}}, "keys begin with an underscore"),
        ({"substitutions": {"_OBJECT": "$(body.attributes.x)"}}, "is not of the form"),
        (
            {"serviceAccount": NOBODY},
            "x@.* does not exist",
        ),
        (
            {"pubsubConfig": {"topic": "projects/test-project/topics/absent"}},
            "absent was not found",
        ),
    ],
)
def test_a_trigger_that_google_would_refuse_is_refused(
    declarer: Declarer, changes: dict[str, Any], complaint: str
) -> None:
    pipeline(declarer)
    with pytest.raises(Refused, match=complaint):
        redeclare(declarer, **changes)

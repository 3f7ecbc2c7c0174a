"""A build's and a machine's own grants: on the registry, and on the log."""

import pytest

from local.client import Client
from local.cloud import Cloud
from pipeline.errors import UserError
from tests.local.declaring import (
    PROJECT_GRANT,
    REGION,
    REGISTRY,
    REPOSITORY_GRANT,
    Declarer,
    log,
)
from tests.local.test_services_build import build, builds, pipeline, redeclare, write

PULL = f"docker pull {REGISTRY}/app:test"
PUSH = f"{PULL}; docker tag {REGISTRY}/app:test {REGISTRY}/app:new; docker push {REGISTRY}/app:new"
TAG = f"gcloud artifacts docker tags add {REGISTRY}/app:test {REGISTRY}/app:live"
BUILDER = "builder-account@test-project.iam.gserviceaccount.com"


@pytest.fixture
def prepared(declarer: Declarer) -> Declarer:
    pipeline(declarer)
    declarer.image("app", "print('app')")
    return declarer


def grant(declarer: Declarer, role: str) -> None:
    declarer.declare(
        REPOSITORY_GRANT,
        role,
        repository="bots",
        location=REGION,
        role=role,
        member=f"serviceAccount:{BUILDER}",
    )


def ran(cloud: Cloud, declarer: Declarer, script: str) -> tuple[str, str]:
    redeclare(declarer, build=build(f"set -e; {script}"))
    write(declarer, "rollout/keeper.json")
    done = builds(cloud)[-1]
    return done.status, log(done.log)


@pytest.mark.parametrize(
    ("script", "permission"),
    [
        (PULL, "repositories.downloadArtifacts"),
        (TAG, "repositories.downloadArtifacts"),
    ],
)
def test_without_a_grant_the_registry_gives_nothing(
    cloud: Cloud, prepared: Declarer, script: str, permission: str
) -> None:
    status, said = ran(cloud, prepared, script)
    assert status == "FAILURE"
    assert f"denied: serviceAccount:{BUILDER} lacks artifactregistry.{permission} on " in said


@pytest.mark.parametrize(
    ("script", "permission"), [(PUSH, "repositories.uploadArtifacts"), (TAG, "tags.update")]
)
def test_who_may_read_the_registry_may_not_change_it(
    cloud: Cloud, prepared: Declarer, script: str, permission: str
) -> None:
    grant(prepared, "roles/artifactregistry.reader")
    status, said = ran(cloud, prepared, script)
    assert status == "FAILURE"
    assert f"denied: serviceAccount:{BUILDER} lacks artifactregistry.{permission} on " in said
    assert set(cloud.world.machine.tags(f"{REGISTRY}/app")) == {"test"}


def test_who_may_write_to_the_registry_pushes_and_moves_tags(
    cloud: Cloud, prepared: Declarer
) -> None:
    grant(prepared, "roles/artifactregistry.writer")
    status, said = ran(cloud, prepared, f"{PUSH}; {TAG}")
    assert status == "SUCCESS", said
    assert set(cloud.world.machine.tags(f"{REGISTRY}/app")) == {"test", "new", "live"}


def test_a_step_in_an_image_of_the_registry_is_pulled_as_the_builds_account(
    cloud: Cloud, prepared: Declarer
) -> None:
    steps = {"steps": [{"name": f"{REGISTRY}/app:test"}]}
    redeclare(prepared, build={**build("true"), **steps})
    write(prepared, "rollout/keeper.json")
    (done,) = builds(cloud)
    assert done.status == "FAILURE"
    assert "lacks artifactregistry.repositories.downloadArtifacts" in done.reason


def test_a_build_that_may_not_log_goes_on_unseen(cloud: Cloud, prepared: Declarer) -> None:
    prepared.remove(PROJECT_GRANT, "log")
    status, said = ran(cloud, prepared, "echo something")
    assert status == "SUCCESS"
    assert "something" not in said
    assert f"{BUILDER} lacks logging.logEntries.create on projects/test-project" in said


def test_a_suspended_grant_does_not_hold_until_it_is_restored(
    cloud: Cloud, prepared: Declarer
) -> None:
    client = Client(cloud.front.url)
    (name,) = [g["id"] for g in client.grants() if g["role"] == "roles/logging.logWriter"]
    client.suspend(name)
    assert "something" not in ran(cloud, prepared, "echo something")[1]
    client.restore(name)
    assert "something" in ran(cloud, prepared, "echo something; echo again")[1]
    with pytest.raises(UserError, match="no grant 'x' is declared"):
        client.suspend("x")

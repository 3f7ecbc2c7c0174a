"""A build's and a machine's own grants: on the registry, and on the log."""

import pytest

from local.cloud import Cloud
from pipeline.errors import UserError
from tests.local.breakable import BreakableClient
from tests.local.declaring import (
    PROJECT_GRANT,
    REGION,
    REGISTRY,
    REPOSITORY_GRANT,
    Declarer,
    log,
)
from tests.local.test_services_build import build, builds, pipeline, redeclare, write

CUSTOM_ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"
PULL = f"docker pull {REGISTRY}/app:test"
PUSH = f"{PULL}; docker tag {REGISTRY}/app:test {REGISTRY}/app:new; docker push {REGISTRY}/app:new"
MOVE = f"docker pull {REGISTRY}/app:test; docker push {REGISTRY}/app:test"
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


def test_without_a_grant_the_registry_gives_nothing(cloud: Cloud, prepared: Declarer) -> None:
    status, said = ran(cloud, prepared, PULL)
    assert status == "FAILURE"
    lacked = "artifactregistry.repositories.downloadArtifacts"
    assert f"denied: serviceAccount:{BUILDER} lacks {lacked} on " in said


def test_a_reader_of_the_registry_may_not_change_it(cloud: Cloud, prepared: Declarer) -> None:
    grant(prepared, "roles/artifactregistry.reader")
    status, said = ran(cloud, prepared, PUSH)
    assert status == "FAILURE"
    lacked = "artifactregistry.repositories.uploadArtifacts"
    assert f"denied: serviceAccount:{BUILDER} lacks {lacked} on " in said
    assert set(cloud.context.runtime.tags(f"{REGISTRY}/app")) == {"test"}


@pytest.mark.parametrize(("script", "verb"), [(PUSH, "create"), (MOVE, "update")])
def test_a_tag_takes_a_permission_of_its_own(
    cloud: Cloud, prepared: Declarer, script: str, verb: str
) -> None:
    grant(prepared, "roles/artifactregistry.reader")
    permissions = ["artifactregistry.repositories.uploadArtifacts"]
    other = {"create": "update", "update": "create"}[verb]
    permissions.append(f"artifactregistry.tags.{other}")
    role = prepared.declare(
        CUSTOM_ROLE, "some", roleId="some", title="some", permissions=permissions
    )
    grant(prepared, role["name"])
    status, said = ran(cloud, prepared, script)
    assert status == "FAILURE"
    assert f"lacks artifactregistry.tags.{verb} on " in said


def test_a_writer_to_the_registry_pushes(cloud: Cloud, prepared: Declarer) -> None:
    grant(prepared, "roles/artifactregistry.writer")
    status, said = ran(cloud, prepared, PUSH)
    assert status == "SUCCESS", said
    tags = cloud.context.runtime.tags(f"{REGISTRY}/app")
    assert set(tags) == {"test", "new"}
    assert len(set(tags.values())) == 1


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
    client = BreakableClient(cloud.gateway.url)
    (name,) = [g["id"] for g in client.grants() if g["role"] == "roles/logging.logWriter"]
    client.suspend(name)
    assert "something" not in ran(cloud, prepared, "echo something")[1]
    client.restore(name)
    assert "something" in ran(cloud, prepared, "echo something; echo again")[1]
    with pytest.raises(UserError, match="no grant 'x' is declared"):
        client.suspend("x")

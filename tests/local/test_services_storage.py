"""Cloud Storage as declared: buckets, objects and who is told of them."""

import pytest

from local.cloud import Cloud
from tests.local.declaring import (
    BUCKET,
    BUCKET_GRANT,
    NOTIFICATION,
    OBJECT,
    TOPIC,
    TOPIC_GRANT,
    Declarer,
    Refused,
)


def write(declarer: Declarer, name: str, content: str) -> dict[str, object]:
    return declarer.declare(OBJECT, name, bucket="data", name=name, content=content)


def test_a_bucket_is_a_real_one(cloud: Cloud, declarer: Declarer) -> None:
    outputs = declarer.bucket("data")
    assert outputs["url"] == "gs://data"
    assert cloud.world.storage.exists("data")
    declarer.remove(BUCKET, "data")
    assert not cloud.world.storage.exists("data")


def test_a_bucket_that_holds_objects_is_not_deleted(cloud: Cloud, declarer: Declarer) -> None:
    declarer.bucket("data")
    write(declarer, "a", "text")
    with pytest.raises(Refused, match="the bucket data is not empty"):
        declarer.remove(BUCKET, "data")
    assert cloud.world.storage.exists("data")
    declarer.bucket("data", forceDestroy=True)
    declarer.remove(BUCKET, "data")
    assert not cloud.world.storage.exists("data")


def test_an_object_changes_in_place_and_gets_a_new_generation(declarer: Declarer) -> None:
    declarer.bucket("data")
    first = write(declarer, "a/b c.json", "one")
    second = write(declarer, "a/b c.json", "two")
    assert first["id"] == second["id"]
    assert int(str(first["generation"])) < int(str(second["generation"]))
    assert first["md5hash"] != second["md5hash"]


def test_an_object_that_somebody_deleted_is_gone_at_refresh(
    cloud: Cloud, declarer: Declarer
) -> None:
    declarer.bucket("data")
    write(declarer, "a", "one")
    cloud.world.storage.clear_bucket("data")
    assert declarer.read(OBJECT, "a") is None


def test_a_notification_is_refused_while_storage_may_not_publish(
    cloud: Cloud, declarer: Declarer
) -> None:
    declarer.bucket("data")
    topic = declarer.declare(TOPIC, "changes", name="changes")
    notification = {"bucket": "data", "topic": topic["id"], "payloadFormat": "JSON_API_V1"}
    with pytest.raises(Refused, match=r"gs-project-accounts.* may not publish to .*/changes"):
        declarer.declare(NOTIFICATION, "changes", **notification)
    declarer.declare(
        TOPIC_GRANT,
        "agent",
        topic="changes",
        role="roles/pubsub.publisher",
        member=f"serviceAccount:{cloud.world.storage_agent}",
    )
    made = declarer.declare(NOTIFICATION, "changes", **notification)
    assert made["id"] == "data/notificationConfigs/1"


def test_what_is_not_published_any_more_is_told(cloud: Cloud, declarer: Declarer) -> None:
    test_a_notification_is_refused_while_storage_may_not_publish(cloud, declarer)
    declarer.remove(TOPIC_GRANT, "agent")
    write(declarer, "a", "text")
    (problem,) = cloud.status()["problems"]
    assert "lacks pubsub.topics.publish" in problem


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"member": "keeper@p.iam.gserviceaccount.com"}, "member: .* has no kind"),
        (
            {"member": "serviceAccount:nobody@test-project.iam.gserviceaccount.com"},
            "nobody@.* does not exist",
        ),
        ({"role": "roles/storage.objectViewr"}, "the role 'roles/storage.objectViewr' is not"),
        ({"role": "projects/test-project/roles/absent"}, "the role .* is not known"),
        ({"bucket": "absent"}, "the bucket absent was not found"),
        (
            {"condition": {"title": "t", "expression": "request.time < now"}},
            "condition: the condition .* is not understood",
        ),
    ],
)
def test_a_grant_that_google_would_refuse_is_refused(
    declarer: Declarer, changes: dict[str, object], complaint: str
) -> None:
    declarer.bucket("data")
    account = declarer.account("reader")
    grant = {"bucket": "data", "role": "roles/storage.objectViewer", "member": account["member"]}
    with pytest.raises(Refused, match=complaint):
        declarer.declare(BUCKET_GRANT, "reader", **{**grant, **changes})

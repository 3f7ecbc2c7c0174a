"""Cloud Storage as declared: buckets, objects and who is told of them."""

import pytest

from local.cloud import Cloud
from tests.local.declaring import (
    BUCKET,
    BUCKET_GRANT,
    FOLDER,
    FOLDER_GRANT,
    LISTING,
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
    assert cloud.storage.exists("data")
    declarer.remove(BUCKET, "data")
    assert not cloud.storage.exists("data")


def test_a_bucket_that_holds_objects_is_not_deleted(cloud: Cloud, declarer: Declarer) -> None:
    declarer.bucket("data")
    write(declarer, "a", "text")
    with pytest.raises(Refused, match="the bucket data is not empty"):
        declarer.remove(BUCKET, "data")
    assert cloud.storage.exists("data")
    declarer.bucket("data", forceDestroy=True)
    declarer.remove(BUCKET, "data")
    assert not cloud.storage.exists("data")


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
    cloud.storage.clear_bucket("data")
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
        member=f"serviceAccount:{cloud.context.storage_agent}",
    )
    made = declarer.declare(NOTIFICATION, "changes", **notification)
    assert made["id"] == "data/notificationConfigs/1"


def test_an_event_that_cannot_be_published_is_reported(cloud: Cloud, declarer: Declarer) -> None:
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


LIST, GET = "storage.objects.list", "storage.objects.get"
LISTER = "roles/storage.legacyBucketReader"


def test_a_folder_is_open_to_its_member_and_no_other_folder_is(
    cloud: Cloud, declarer: Declarer
) -> None:
    declarer.bucket("data", uniformBucketLevelAccess=True)
    anna = declarer.account("anna")["member"]
    declarer.declare(FOLDER, "anna", bucket="data", name="posts/anna/")
    declarer.declare(
        FOLDER_GRANT,
        "anna",
        bucket="data",
        managedFolder="posts/anna/",
        role="roles/storage.objectUser",
        member=anna,
    )
    may = cloud.context.policy.allows
    objects = "projects/_/buckets/data/objects"
    assert may(anna, GET, f"{objects}/posts/anna/slot.json")
    assert not may(anna, GET, f"{objects}/posts/anna-2/slot.json")
    assert not may(anna, GET, f"{objects}/tweets/anna/slot.json")
    assert not may(anna, GET, "projects/_/buckets/data2/objects/posts/anna/slot.json")
    assert not may(anna, LIST, "projects/_/buckets/data")


@pytest.mark.parametrize(
    ("bucket", "folder", "complaint"),
    [
        ({}, "posts/anna", "name: 'posts/anna' does not end with '/'"),
        ({}, "posts//", "name: 'posts//' is not 1 to 15 folders"),
        ({}, "f/" * 16, "is not 1 to 15 folders"),
        ({"uniformBucketLevelAccess": False}, "posts/", "no uniform bucket-level access"),
    ],
)
def test_a_folder_that_google_would_refuse_is_refused(
    declarer: Declarer, bucket: dict[str, object], folder: str, complaint: str
) -> None:
    declarer.bucket("data", **{"uniformBucketLevelAccess": True, **bucket})
    with pytest.raises(Refused, match=complaint):
        declarer.declare(FOLDER, "folder", bucket="data", name=folder)


def test_a_grant_on_a_folder_that_nobody_declared_is_refused(declarer: Declarer) -> None:
    declarer.bucket("data", uniformBucketLevelAccess=True)
    grant = {"bucket": "data", "managedFolder": "posts/", "role": "roles/storage.objectUser"}
    with pytest.raises(Refused, match="data/posts/ was not found"):
        declarer.declare(FOLDER_GRANT, "anna", **grant, member=declarer.account("anna")["member"])


def test_a_folder_with_objects_is_removed_only_by_force_and_leaves_them(
    cloud: Cloud, declarer: Declarer
) -> None:
    declarer.bucket("data", uniformBucketLevelAccess=True)
    declarer.declare(FOLDER, "posts", bucket="data", name="posts/")
    write(declarer, "posts/a", "text")
    with pytest.raises(Refused, match="the managed folder posts/ of data is not empty"):
        declarer.remove(FOLDER, "posts")
    declarer.declare(FOLDER, "posts", bucket="data", name="posts/", forceDestroy=True)
    declarer.remove(FOLDER, "posts")
    assert cloud.storage.holds("data", "posts/")


def test_a_binding_gives_its_role_to_its_members_alone(cloud: Cloud, declarer: Declarer) -> None:
    declarer.bucket("data")
    anna, bert = (declarer.account(name)["member"] for name in ("anna", "bert"))
    declarer.declare(BUCKET_GRANT, "bert", bucket="data", role=LISTER, member=bert)

    def bind(*members: object) -> None:
        given = ["projectViewer:test-project", *members]
        declarer.declare(LISTING, "list", bucket="data", role=LISTER, members=given)

    def who() -> list[object]:
        may = cloud.context.policy.allows
        return [one for one in (anna, bert) if may(str(one), LIST, "projects/_/buckets/data")]

    assert who() == [bert]
    bind(anna)
    assert who() == [anna]
    bind(anna, bert)
    assert who() == [anna, bert]
    with pytest.raises(Refused, match="members: 'anna@p' has no kind"):
        bind("anna@p")
    with pytest.raises(Refused, match=r"nobody@.* does not exist"):
        bind("serviceAccount:nobody@test-project.iam.gserviceaccount.com")
    assert declarer.read(BUCKET_GRANT, "bert") is None
    declarer.remove(LISTING, "list")
    assert who() == []

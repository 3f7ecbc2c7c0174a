"""What is left of objects that were replaced or deleted, and when nothing is."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google.cloud import storage
from google.oauth2.credentials import Credentials

from local.client import Client
from local.cloud import Cloud
from local.services.storage.past import Keeping
from tests.local.conftest import Clouds
from tests.local.declaring import BUCKET, Declarer, Refused

DAY = 24 * 3600
SOFT = {"softDeletePolicy": {"retentionDurationSeconds": 7 * DAY}}
VERSIONED = {"versioning": {"enabled": True}}
LIFECYCLE = {
    "lifecycleRules": [
        {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 1}},
        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}},
    ]
}
KEPT = {**SOFT, **VERSIONED, **LIFECYCLE}
SECRET = b"a text that somebody wants gone"


def bucket_of(cloud: Cloud, name: str = "data") -> Any:
    """The bucket, as the person at the machine reaches it."""
    client: Any = storage.Client(
        project=cloud.project,
        credentials=Credentials(Client(cloud.gateway.url).token()),
        client_options={"api_endpoint": cloud.gateway.url},
    )
    return client.bucket(name)


def write(bucket: Any, name: str, data: bytes) -> int:
    blob = bucket.blob(name)
    blob.upload_from_string(data)
    return int(blob.generation)


def listed(bucket: Any, **which: bool) -> list[tuple[str, int]]:
    return [(blob.name, int(blob.generation)) for blob in bucket.list_blobs(**which)]


def on_disk(folder: Path) -> int:
    """How many files hold the secret."""
    return sum(SECRET in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def later(cloud: Cloud, **by: float) -> None:
    cloud.clock.advance_to(cloud.clock.now() + timedelta(**by))
    cloud.heal()


def test_what_is_replaced_or_deleted_stays_a_day_and_is_then_soft_deleted(
    cloud: Cloud, declarer: Declarer
) -> None:
    declarer.bucket("data", **KEPT)
    bucket = bucket_of(cloud)
    first = write(bucket, "a/b", SECRET)
    second = write(bucket, "a/b", b"another text")
    assert listed(bucket) == [("a/b", second)]
    assert listed(bucket, versions=True) == [("a/b", first), ("a/b", second)]
    assert bucket.blob("a/b", generation=first).download_as_bytes() == SECRET
    bucket.blob("a/b").delete()
    assert listed(bucket) == []
    assert listed(bucket, versions=True) == [("a/b", first), ("a/b", second)]
    assert listed(bucket, soft_deleted=True) == []

    later(cloud, hours=23)
    assert len(listed(bucket, versions=True)) == 2
    later(cloud, hours=1)
    assert listed(bucket, versions=True) == []
    assert listed(bucket, soft_deleted=True) == [("a/b", first), ("a/b", second)]
    with pytest.raises(NotFound):
        bucket.blob("a/b", generation=first).download_as_bytes()
    later(cloud, days=6, hours=23)
    assert on_disk(cloud.home) == 1
    later(cloud, hours=1)
    assert listed(bucket, soft_deleted=True) == []
    assert on_disk(cloud.home) == 0


def test_what_is_deleted_by_its_generation_is_soft_deleted_at_once(
    cloud: Cloud, declarer: Declarer
) -> None:
    declarer.bucket("data", **KEPT)
    bucket = bucket_of(cloud)
    old = write(bucket, "a", SECRET)
    new = write(bucket, "a", SECRET)
    for generation in (old, new):
        bucket.blob("a", generation=generation).delete()
    assert listed(bucket, versions=True) == []
    assert listed(bucket, soft_deleted=True) == [("a", old), ("a", new)]
    with pytest.raises(NotFound):
        bucket.blob("a", generation=old).delete()
    later(cloud, days=6, hours=23)
    assert on_disk(cloud.home) == 2
    later(cloud, hours=1)
    assert on_disk(cloud.home) == 0


def test_without_soft_delete_what_is_deleted_for_good_is_gone(
    cloud: Cloud, declarer: Declarer
) -> None:
    declarer.bucket(
        "data", **VERSIONED, **LIFECYCLE, softDeletePolicy={"retentionDurationSeconds": 0}
    )
    bucket = bucket_of(cloud)
    bucket.blob("a", generation=write(bucket, "a", SECRET)).delete()
    cloud.heal()
    assert on_disk(cloud.home) == 0


def test_without_versioning_what_is_replaced_is_soft_deleted_for_googles_week(
    cloud: Cloud, declarer: Declarer
) -> None:
    declarer.bucket("data")
    bucket = bucket_of(cloud)
    old = write(bucket, "a", SECRET)
    write(bucket, "a", b"new")
    assert len(listed(bucket, versions=True)) == 1
    assert listed(bucket, soft_deleted=True) == [("a", old)]
    later(cloud, days=7)
    assert on_disk(cloud.home) == 0


def test_the_past_outlives_a_restart(clouds: Clouds) -> None:
    first = clouds("home")
    declarer = Declarer(first)
    declarer.bucket("data", **KEPT)
    declarer.close()
    old = write(bucket_of(first), "a", SECRET)
    bucket_of(first).blob("a", generation=old).delete()
    again = clouds("home")
    assert listed(bucket_of(again), soft_deleted=True) == [("a", old)]
    later(again, days=8)
    assert on_disk(again.home) == 0


def test_a_write_that_is_refused_leaves_no_copy(cloud: Cloud, declarer: Declarer) -> None:
    declarer.bucket("data", **KEPT)
    bucket = bucket_of(cloud)
    write(bucket, "a", SECRET)
    with pytest.raises(Exception, match="412"):
        bucket.blob("a").upload_from_string(b"new", if_generation_match=1)
    assert len(listed(bucket, versions=True)) == 1
    assert on_disk(cloud.home) == 1


def test_a_large_object_that_is_replaced_in_pieces_stays_whole(
    cloud: Cloud, declarer: Declarer
) -> None:
    declarer.bucket("data", **KEPT)
    bucket = bucket_of(cloud)
    old = write(bucket, "a", SECRET * 100_000)
    blob = bucket.blob("a", chunk_size=1 << 20)
    blob.upload_from_string(b"n" * (3 << 20))
    assert bucket.blob("a", generation=old).download_as_bytes() == SECRET * 100_000
    assert not list(cloud.home.rglob("*.new"))


def test_a_bucket_with_noncurrent_versions_is_not_empty(cloud: Cloud, declarer: Declarer) -> None:
    declarer.bucket("data", **KEPT)
    bucket = bucket_of(cloud)
    write(bucket, "a", SECRET)
    bucket.blob("a").delete()
    with pytest.raises(Refused, match="not empty"):
        declarer.remove(BUCKET, "data")
    declarer.bucket("data", **KEPT, forceDestroy=True)
    declarer.remove(BUCKET, "data")
    assert on_disk(cloud.home) == 0


def test_what_a_bucket_keeps_is_as_declared() -> None:
    assert Keeping.declared(KEPT) == Keeping(
        versions=True, noncurrent_days=1, soft_delete=timedelta(days=7)
    )
    assert Keeping.declared({}) == Keeping(soft_delete=timedelta(days=7))

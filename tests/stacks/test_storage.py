"""The buckets, and how long deleted objects can be restored."""

from typing import Any

import pytest

from pipeline.errors import UserError
from stacks import stack_file
from tests.stacks.recorder import declare, stack_values

DAY = 24 * 3600


def buckets(**keep: int) -> dict[str, dict[str, Any]]:
    """The inputs of prod's buckets with these values of `keep`."""
    declared = declare("prod", stack_values("prod") | {"gpt2-bots:keep": keep})
    return {b.name: dict(b.inputs) for b in declared.of("gcp:storage/bucket:Bucket")}


def test_deleted_objects_can_be_restored_for_as_long_as_the_stack_file_says() -> None:
    found = buckets(tweets_days=0, models_days=90)
    kept = {name: b["softDeletePolicy"]["retentionDurationSeconds"] for name, b in found.items()}
    assert kept == {"data": 0, "models": 90 * DAY}


def test_by_default_deleted_tweets_are_gone_for_good_after_a_week() -> None:
    assert buckets()["data"]["softDeletePolicy"] == {"retentionDurationSeconds": 7 * DAY}


def test_an_old_version_is_deleted_after_a_day() -> None:
    """It is soft-deleted for `keep` after that, so a longer time would keep it twice as long."""
    for bucket in buckets().values():
        (days,) = [
            rule["condition"]["daysSinceNoncurrentTime"]
            for rule in bucket["lifecycleRules"]
            if rule["action"]["type"] == "Delete"
        ]
        assert days == 1


@pytest.mark.parametrize("key", ["tweets_days", "models_days"])
@pytest.mark.parametrize(
    ("days", "error"), [(3, "3 days are not possible"), (91, "91"), (-1, "-1")]
)
def test_days_that_cloud_storage_does_not_take_are_an_error(
    key: str, days: int, error: str
) -> None:
    values = stack_values("prod") | {"gpt2-bots:keep": {key: days}}
    with pytest.raises(UserError, match=f"keep.{key}: {error}"):
        stack_file.load("prod", values)

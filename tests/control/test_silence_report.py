"""The log line by which an alert learns of a silent account."""

from collections.abc import Callable

import pytest
from google.cloud import storage

from pipeline.store import Store

from .test_watch import DAY, HOUR, NOON, World


@pytest.fixture
def world(
    bucket_factory: Callable[[], storage.Bucket], capsys: pytest.CaptureFixture[str]
) -> World:
    return World(Store(bucket_factory()), Store(bucket_factory()), capsys)


def test_a_report_of_silence_has_the_task_and_its_last_success(world: World) -> None:
    world.declare(post="0 9 * * *", collect="0 5 * * *")
    posted = NOON.replace(hour=9) + DAY
    world.posted(posted)
    world.looks(every=HOUR, until=posted + HOUR)
    world.now = NOON + 4 * DAY
    world.look()
    reports = {line["task"]: line for line in world.logged()}
    assert {line["severity"] for line in reports.values()} == {"ERROR"}
    assert reports["post"]["success"] == posted.isoformat()
    assert (
        "nothing was posted since 2026-11-24 09:00 UTC, on the schedule '0 9 * * * Europe/London'"
        in reports["post"]["message"]
    )
    assert reports["collect"]["success"] is None
    assert (
        "no collection has succeeded yet; declared by 2026-11-23 12:00 UTC"
        in reports["collect"]["message"]
    )

"""Cloud Scheduler: when a job is due, and what its declared call does."""

# pyright: reportPrivateUsage=false

import base64
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from local.cloud import Cloud
from local.services.scheduler.scheduler import Fired
from tests.local.conftest import Clouds
from tests.local.declaring import JOB_GRANT, SCHEDULE, Declarer, Refused, log

# Long past the summer-time changes of 2026, before those of 2027.
WINTER = datetime(2027, 1, 10, 12, tzinfo=UTC)


@pytest.fixture
def image(declarer: Declarer, cloud: Cloud) -> str:
    cloud.clock.advance_to(WINTER)
    return declarer.image("says", "import os; print('it is', os.environ['CLOCK'][:16])")


def target(declarer: Declarer, **changes: Any) -> dict[str, Any]:
    """The call of the job "post" by its caller, changed."""
    declared = declarer._outputs[SCHEDULE, "post"]["httpTarget"]
    return {key: value for key, value in {**declared, **changes}.items() if value is not None}


def redeclare(declarer: Declarer, **changes: Any) -> None:
    old = declarer._inputs[SCHEDULE, "post"]
    declarer.declare(SCHEDULE, "post", **{**old, **changes})


def test_ticks_come_by_each_jobs_own_time_zone(
    cloud: Cloud, declarer: Declarer, image: str
) -> None:
    declarer.scheduled("london", image, "0 9 * * *", timeZone="Europe/London")
    declarer.scheduled("paris", image, "0 9 * * *", timeZone="Europe/Paris")
    ticks = [(tick["job"], tick["at"]) for tick in cloud.status()["ticks"]]
    assert ticks == [
        ("paris", "2027-01-11T08:00:00+00:00"),
        ("london", "2027-01-11T09:00:00+00:00"),
    ]


def test_a_tick_makes_it_that_time_and_fires_all_that_is_due_then(
    cloud: Cloud, declarer: Declarer, image: str
) -> None:
    declarer.scheduled("one", image, "0 13 * * *")
    declarer.scheduled("two", image, "0 13 * * *")
    declarer.scheduled("later", image, "30 13 * * *")
    fired = cloud.tick()
    assert sorted(f.attempt.job for f in fired) == ["one", "two"]
    for each in fired:
        assert each.execution is not None
        assert "it is 2027-01-10T13:00" in log(each.execution.log)
    assert [f.attempt.job for f in cloud.tick()] == ["later"]
    assert f"{cloud.clock.now():%H:%M}" == "13:30"


def test_a_tick_is_fired_once(cloud: Cloud, declarer: Declarer, image: str) -> None:
    declarer.scheduled("hourly", image, "0 * * * *")
    hours = [cloud.tick()[0].attempt.due.hour for _ in range(3)]
    assert hours == [13, 14, 15]


def test_a_changed_schedule_is_the_one_that_counts(
    cloud: Cloud, declarer: Declarer, image: str
) -> None:
    declarer.scheduled("post", image, "0 13 * * *")
    redeclare(declarer, schedule="45 12 * * *")
    assert cloud.tick()[0].attempt.due == WINTER.replace(minute=45)


def test_a_paused_job_is_never_due(cloud: Cloud, declarer: Declarer, image: str) -> None:
    declarer.scheduled("post", image, "0 13 * * *", paused=True)
    assert cloud.tick() == []


def test_an_hour_that_comes_twice_fires_once(cloud: Cloud, declarer: Declarer, image: str) -> None:
    cloud.clock.advance_to(datetime(2027, 10, 30, 12, tzinfo=UTC))
    declarer.scheduled("post", image, "30 2 * * *", timeZone="Europe/Berlin")
    days = [cloud.tick()[0].attempt.due.date().isoformat() for _ in range(2)]
    assert days == ["2027-10-31", "2027-11-01"]


@pytest.mark.parametrize(
    ("changes", "response"),
    [
        ({"uri": "https://run.googleapis.com/v2/projects/p/jobs/x:run"}, "404: .* leads nowhere"),
        (
            {"uri": "https://run.googleapis.com/v2/projects/p/locations/r/jobs/x:run"},
            "404: .* names no Run job that exists",
        ),
        ({"uri": "https://example.com/hook"}, "404: .* leads nowhere"),
        ({"httpMethod": "GET"}, "404: GET .* use POST"),
        ({"oauthToken": None}, "401: the call carries no token"),
        (
            {"oauthToken": None, "oidcToken": {"serviceAccountEmail": "me@elsewhere.example"}},
            "401: Google's own APIs take an oauthToken",
        ),
        (
            {"oauthToken": {"serviceAccountEmail": "me@elsewhere.example"}},
            "403: serviceAccount:me@elsewhere.example lacks run.jobs.run on .*/jobs/post",
        ),
        ({"body": base64.b64encode(b"{").decode()}, "400: the body is not JSON"),
        (
            {"body": base64.b64encode(b'{"overrides": {}}').decode()},
            "400: the local cloud knows no request body",
        ),
    ],
)
def test_a_call_that_is_declared_wrong_fires_into_an_error_that_is_shown(
    cloud: Cloud, declarer: Declarer, image: str, changes: dict[str, Any], response: str
) -> None:
    declarer.scheduled("post", image, "0 13 * * *", retryConfig={"retryCount": 2})
    redeclare(declarer, httpTarget=target(declarer, **changes))
    (fired,) = cloud.tick()
    assert re.match(response, fired.attempt.error)
    assert fired.execution is None
    assert fired.attempt.attempts == 3
    assert cloud.status()["attempts"][0]["error"] == fired.attempt.error
    assert cloud.executions.all() == []


def test_an_empty_body_is_accepted(cloud: Cloud, declarer: Declarer, image: str) -> None:
    declarer.scheduled("post", image, "0 13 * * *")
    body = base64.b64encode(b"{}").decode()
    redeclare(declarer, httpTarget=target(declarer, body=body))
    assert cloud.tick()[0].attempt.error == ""


def test_a_caller_that_loses_its_grant_is_refused(
    cloud: Cloud, declarer: Declarer, image: str
) -> None:
    declarer.scheduled("post", image, "0 13 * * *")
    declarer.remove(JOB_GRANT, "post")
    assert cloud.tick()[0].attempt.error.startswith("403: ")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"schedule": "61 * * * *"}, "schedule: '61 "),
        ({"schedule": "every 5 minutes"}, "schedule: 'every 5 minutes'"),
        ({"schedule": "0 9 * * * *"}, "schedule: .*6 fields"),
        ({"timeZone": "Europe/Pariss"}, "timeZone: 'Europe/Pariss' is not a time zone"),
        ({"attemptDeadline": "5s"}, "attemptDeadline: '5s' is not within"),
        ({"retryConfig": {"retryCount": 6}}, "retryCount: 6 is not within 0 and 5"),
        ({"httpTarget": None}, "httpTarget: give exactly one"),
    ],
)
def test_a_job_that_scheduler_would_refuse_is_refused_in_preview(
    declarer: Declarer, image: str, changes: dict[str, Any], complaint: str
) -> None:
    declarer.scheduled("post", image, "0 13 * * *")
    with pytest.raises(Refused, match=complaint):
        redeclare(declarer, **changes)


def test_a_body_that_is_not_base64_is_refused_in_preview(declarer: Declarer, image: str) -> None:
    declarer.scheduled("post", image, "0 13 * * *")
    with pytest.raises(Refused, match=r"httpTarget\.body: is not base64"):
        redeclare(declarer, httpTarget=target(declarer, body="{}"))


def test_a_tick_while_the_cloud_was_stopped_is_missed(clouds: Clouds) -> None:
    before = clouds("home")
    before.clock.advance_to(WINTER)
    declarer = Declarer(before)
    declarer.scheduled("post", declarer.image("says", "print(1)"), "0 13 * * *")
    declarer.close()
    before.clock.advance_to(WINTER.replace(hour=15))
    after = clouds("home")
    assert after.tick()[0].attempt.due == WINTER.replace(day=11, hour=13)


def test_a_tick_that_passed_while_the_cloud_ran_is_fired_late(
    cloud: Cloud, declarer: Declarer, image: str
) -> None:
    declarer.scheduled("post", image, "0 13 * * *")
    cloud.clock.advance_to(WINTER.replace(hour=13, minute=7))
    (fired,) = cloud.tick()
    assert fired.attempt.due == WINTER.replace(hour=13)
    assert fired.attempt.fired >= WINTER.replace(hour=13, minute=7)


def test_a_schedule_can_be_forced_at_any_time(cloud: Cloud, declarer: Declarer, image: str) -> None:
    declarer.scheduled("post", image, "0 13 * * *")
    caller = declarer.declare(
        SCHEDULE, "daily", **{**declarer._inputs[SCHEDULE, "post"], "name": "daily"}
    )
    before = cloud.status()["ticks"]
    fired = cloud.run(caller["name"])
    assert isinstance(fired, Fired)
    assert fired.execution is not None
    assert fired.execution.job == "post"
    assert cloud.status()["ticks"] == before

"""Cloud Scheduler's jobs: calls that are due by their own time zone's clock."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from local.engine.handler import Failure, Json
from local.services.context import Context, section
from local.services.handler import GoogleHandler
from local.services.iam.grants import account_must_exist

JOB = "gcp:cloudscheduler/job:Job"

_TARGETS = ("httpTarget", "pubsubTarget", "appEngineHttpTarget")


def ticks(schedule: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """Yields the times after `after` at which a schedule is due; ValueError for a bad one."""
    if len(schedule.split()) != 5:
        raise ValueError(f"{len(schedule.split())} fields")
    try:
        return iter(CronSim(schedule, after.astimezone(ZoneInfo(time_zone))))
    except CronSimError as error:
        raise ValueError(str(error)) from error


class Job(GoogleHandler):
    """A scheduled call."""

    replace_on: ClassVar = frozenset({"name", "region", "project"})
    full_name: ClassVar = "projects/{project}/locations/{region}/jobs/{name}"

    def __init__(self, context: Context, since: Callable[[str], None]) -> None:
        super().__init__(context)
        self._since = since

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Yields what Cloud Scheduler refuses, and targets that the local cloud does not have."""
        try:
            ticks(inputs.get("schedule", ""), "Etc/UTC", datetime(2000, 1, 1, tzinfo=UTC))
        except ValueError as error:
            given = f"{inputs.get('schedule')!r} ({error})"
            yield "schedule", f"{given} is not a schedule of five fields, such as '0 9 * * *'"
        zone = inputs.get("timeZone", "Etc/UTC")
        try:
            ZoneInfo(zone)
        except (KeyError, OSError, ValueError):
            reason = f"{zone!r} is not a time zone of the IANA list, such as 'Europe/Paris'"
            yield "timeZone", reason
        targets = [target for target in _TARGETS if inputs.get(target)]
        if len(targets) != 1:
            yield "httpTarget", f"give exactly one of {', '.join(_TARGETS)}"
        elif targets != ["httpTarget"]:
            yield targets[0], "the local cloud fires at an httpTarget only"
        else:
            yield from _target_failures(inputs["httpTarget"])
        retries = section(inputs, "retryConfig").get("retryCount", 0)
        if not 0 <= retries <= 5:
            yield "retryConfig.retryCount", f"{retries} is not within 0 and 5"
        deadline = inputs.get("attemptDeadline", "180s")
        if not re.fullmatch(r"\d+(\.\d+)?s", deadline) or not 15 <= float(deadline[:-1]) <= 1800:
            yield "attemptDeadline", f"{deadline!r} is not within '15s' and '1800s'"

    def computed(self, inputs: Json) -> Json:
        """Returns whether it will fire."""
        return {"state": "PAUSED" if inputs.get("paused") else "ENABLED"}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records the job. Its first tick is the next one from now on."""
        target = section(inputs, "httpTarget")
        for token in ("oauthToken", "oidcToken"):
            if token in target:
                account_must_exist(self._context, target[token]["serviceAccountEmail"])
        job, outputs = super().create(name, inputs)
        self._since(job)
        return job, outputs

    def update(self, id_: str, _old_outputs: Json, _inputs: Json) -> Json:
        """Lets a changed schedule count from now on."""
        self._since(id_)
        return {}


def _target_failures(target: Json) -> Iterator[Failure]:
    if "oauthToken" in target and "oidcToken" in target:
        yield "httpTarget.oidcToken", "give one of oauthToken and oidcToken, not both"
    try:
        base64.b64decode(target.get("body", ""), validate=True)
    except (binascii.Error, ValueError):
        yield "httpTarget.body", "is not base64: encode it"

"""Cloud Scheduler: jobs that are due by their own time zone's clock, fired at what they declare."""

import base64
import binascii
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BaseModel

from local import iam
from local.provider.kinds import Json, Kind
from local.resources import Resource
from local.services import run
from local.services.executions import Execution, Executions
from local.services.iam import must_exist
from local.services.records import Records
from local.services.world import GoogleError, World, section, short

JOB = "gcp:cloudscheduler/job:Job"

_RUN_URI = re.compile(
    r"https://run\.googleapis\.com/v2/(projects/[^/]+/locations/[^/]+/jobs/[^/]+):run"
)


def kinds(world: World, scheduler: "Scheduler") -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {JOB: Job(world, scheduler)}


class Job(Kind):
    """A scheduled call."""

    replace_on: ClassVar = frozenset({"name", "region", "project"})

    def __init__(self, world: World, scheduler: "Scheduler") -> None:
        self._world = world
        self._scheduler = scheduler

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What Cloud Scheduler refuses."""
        return list(_complaints(inputs))

    def computed(self, inputs: Json) -> Json:
        """Whether it will fire."""
        return {"state": "PAUSED" if inputs.get("paused") else "ENABLED"}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its first tick is the next one from now on."""
        del name
        target = section(inputs, "httpTarget")
        for token in ("oauthToken", "oidcToken"):
            if token in target:
                must_exist(self._world, target[token]["serviceAccountEmail"])
        job = f"projects/{inputs['project']}/locations/{inputs['region']}/jobs/{inputs['name']}"
        self._scheduler.since(job)
        return job, {}

    def update(self, id: str, old_outputs: Json, inputs: Json) -> Json:  # noqa: A002
        """A changed schedule counts from now on."""
        del old_outputs, inputs
        self._scheduler.since(id)
        return {}


def _complaints(inputs: Json) -> Iterator[tuple[str, str]]:
    try:
        _ticks(inputs.get("schedule", ""), "Etc/UTC", datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError) as error:
        given = f"{inputs.get('schedule')!r} ({error})"
        yield "schedule", f"{given} is not a schedule of five fields, such as '0 9 * * *'"
    zone = inputs.get("timeZone", "Etc/UTC")
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        yield "timeZone", f"{zone!r} is not a time zone of the IANA list, such as 'Europe/Paris'"
    targets = [t for t in ("httpTarget", "pubsubTarget", "appEngineHttpTarget") if inputs.get(t)]
    if len(targets) != 1:
        yield "httpTarget", "give exactly one of httpTarget, pubsubTarget and appEngineHttpTarget"
    elif targets != ["httpTarget"]:
        yield targets[0], "the local cloud fires at an httpTarget only"
    else:
        yield from _target_complaints(inputs["httpTarget"])
    retries = section(inputs, "retryConfig").get("retryCount", 0)
    if not 0 <= retries <= 5:
        yield "retryConfig.retryCount", f"{retries} is not within 0 and 5"
    deadline = inputs.get("attemptDeadline", "180s")
    if not re.fullmatch(r"\d+(\.\d+)?s", deadline) or not 15 <= float(deadline[:-1]) <= 1800:
        yield "attemptDeadline", f"{deadline!r} is not within '15s' and '1800s'"


def _target_complaints(target: Json) -> Iterator[tuple[str, str]]:
    if "oauthToken" in target and "oidcToken" in target:
        yield "httpTarget.oidcToken", "give one of oauthToken and oidcToken, not both"
    try:
        base64.b64decode(target.get("body", ""), validate=True)
    except (binascii.Error, ValueError):
        yield "httpTarget.body", "is not base64: encode it"


def _ticks(schedule: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    if len(schedule.split()) != 5:
        raise ValueError(f"{len(schedule.split())} fields")
    return iter(CronSim(schedule, after.astimezone(ZoneInfo(time_zone))))


def _request(target: Json) -> Json:
    body = base64.b64decode(target.get("body", ""))
    try:
        return json.loads(body or b"{}")
    except ValueError as error:
        raise GoogleError(f"400: the body is not JSON ({error})") from None


class Attempt(BaseModel):
    """What came of one tick of one scheduler job; `error` is empty where the call succeeded."""

    job: str
    due: datetime
    fired: datetime
    attempts: int = 1
    error: str = ""
    execution: str = ""


@dataclass(frozen=True)
class Fired:
    """An attempt, and the execution that it started, ended by now."""

    attempt: Attempt
    execution: Execution | None


class Scheduler:
    """Knows what is due, and fires it; time passes for it only when it is asked.

    What fell due while the local cloud was not running is missed, as for a cloud that is down.
    """

    def __init__(self, world: World, executions: Executions) -> None:
        self._world = world
        self._executions = executions
        self._attempts = Records(world.home / "attempts.json", Attempt)
        self._handled: dict[str, datetime] = {}
        self._start = world.clock.now()
        self._ticking = threading.Lock()

    def since(self, job_id: str) -> None:
        """Let the ticks of a job count from now on."""
        self._handled[job_id] = self._world.clock.now()

    def attempts(self) -> list[Attempt]:
        """The last attempt of every job, oldest first."""
        return sorted(self._attempts.all().values(), key=lambda attempt: attempt.fired)

    def due(self) -> list[tuple[datetime, Resource]]:
        """The next tick of every job that is not paused, soonest first."""
        found = [
            (tick, job)
            for job in self._world.resources.of_type(JOB)
            if not job.inputs.get("paused")
            and (tick := self._next(job, self._handled.get(job.id, self._start)))
        ]
        return sorted(found, key=lambda pair: (pair[0], pair[1].id))

    def _next(self, job: Resource, after: datetime) -> datetime | None:
        time_zone = job.inputs.get("timeZone", "Etc/UTC")
        tick = next(_ticks(job.inputs["schedule"], time_zone, after), None)
        return None if tick is None else tick.astimezone(UTC)

    def tick(self) -> list[Fired]:
        """Make it the time of the next tick, fire all that is due then, and wait for its ends."""
        with self._ticking:
            due = self.due()
            if not due:
                return []
            at = due[0][0]
            self._world.clock.advance_to(at)
            now_due = [job for tick, job in due if tick == at]
            for job in now_due:
                self._handled[job.id] = at
        return self._each(now_due, at)

    def _each(self, jobs: list[Resource], due: datetime) -> list[Fired]:
        with ThreadPoolExecutor(4) as pool:
            fired = [pool.submit(self.fire, job, due) for job in jobs]
            return [attempt.result() for attempt in fired]

    def fire(self, job: Resource, due: datetime | None = None) -> Fired:
        """Make the call that a job declares, now, and wait for what it started."""
        now = self._world.clock.now()
        attempt = Attempt(job=short(job.id), due=due or now, fired=now)
        try:
            start = self._target(job)
        except GoogleError as error:
            # Nothing that a retry could mend: the answer would be the same.
            retries = section(job.inputs, "retryConfig").get("retryCount", 0)
            failed = attempt.model_copy(update={"error": str(error), "attempts": 1 + retries})
            self._attempts.put(job.id, failed)
            return Fired(failed, None)
        self._attempts.put(job.id, attempt)
        execution = start()
        started = attempt.model_copy(update={"execution": execution.name})
        self._attempts.put(job.id, started)
        return Fired(started, execution)

    def _target(self, job: Resource) -> Callable[[], Execution]:
        """What the declared call starts; GoogleError as the called service would answer."""
        target = job.inputs["httpTarget"]
        uri, method = target["uri"], target.get("httpMethod", "POST")
        match = _RUN_URI.fullmatch(uri)
        if match is None:
            raise GoogleError(
                f"404: {uri} leads nowhere: the local cloud knows "
                "https://run.googleapis.com/v2/<id of a Run job>:run"
            )
        run_job = self._world.resources.get(run.JOB, match[1])
        if run_job is None:
            raise GoogleError(f"404: {uri} names no Run job that exists")
        if method != "POST":
            raise GoogleError(f"404: {method} {uri} is no call of Cloud Run: use POST")
        self._must_be_allowed(target, "run.jobs.run", match[1])
        if request := _request(target):
            raise GoogleError(f"400: the local cloud knows no request body, got {request}")
        return lambda: self._executions.run(run_job)

    def _must_be_allowed(self, target: Json, permission: str, resource: str) -> None:
        if "oidcToken" in target:
            raise GoogleError("401: Google's own APIs take an oauthToken, not an oidcToken")
        if "oauthToken" not in target:
            raise GoogleError("401: the call carries no token: give httpTarget.oauthToken")
        email = target["oauthToken"]["serviceAccountEmail"]
        try:
            must_exist(self._world, email)
            self._world.policy.require(iam.member(email), permission, resource)
        except (GoogleError, iam.Denied) as denied:
            raise GoogleError(f"403: {denied}") from denied

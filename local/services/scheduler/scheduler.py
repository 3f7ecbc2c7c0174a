"""Knows which scheduler jobs are due, and fires them.

Time passes for it only when it is asked. It cannot show ticks that are late or come twice, nor the
waits between retries.
"""

import base64
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel

from local.engine.handler import Json
from local.gateway import iam
from local.records import Records
from local.resources import Resource
from local.services.context import Context, GoogleError, section, short
from local.services.iam.grants import account_must_exist
from local.services.run import resources as run
from local.services.run.executions import Execution, Executions
from local.services.scheduler.resources import JOB, ticks

_RUN_URI = re.compile(
    r"https://run\.googleapis\.com/v2/(projects/[^/]+/locations/[^/]+/jobs/[^/]+):run"
)


class Attempt(BaseModel):
    """The outcome of one tick of one scheduler job. `error` is empty if the call succeeded."""

    job: str
    due: datetime
    fired: datetime
    attempts: int = 1
    error: str = ""
    execution: str = ""


@dataclass(frozen=True)
class Fired:
    """An attempt, and the execution that it started, which has ended by now."""

    attempt: Attempt
    execution: Execution | None


class Scheduler:
    """Fires jobs. It misses ticks while the local cloud is not running, as a cloud that is down."""

    def __init__(self, context: Context, executions: Executions) -> None:
        self._context = context
        self._executions = executions
        self._attempts = Records(context.home / "attempts.json", Attempt)
        self._handled: dict[str, datetime] = {}
        self._start = context.clock.now()
        self._ticking = threading.Lock()

    def since(self, job_id: str) -> None:
        """Lets the ticks of a job count from now on."""
        self._handled[job_id] = self._context.clock.now()

    def attempts(self) -> list[Attempt]:
        """Returns the last attempt of every job, oldest first."""
        return sorted(self._attempts.all(), key=lambda attempt: attempt.fired)

    def due(self) -> list[tuple[datetime, Resource]]:
        """Returns the next tick of every job that is not paused, soonest first."""
        found = [
            (tick, job)
            for job in self._context.resources.of_type(JOB)
            if not job.inputs.get("paused")
            and (tick := self._next(job, self._handled.get(job.id, self._start)))
        ]
        return sorted(found, key=lambda pair: (pair[0], pair[1].id))

    def _next(self, job: Resource, after: datetime) -> datetime | None:
        time_zone = job.inputs.get("timeZone", "Etc/UTC")
        tick = next(ticks(job.inputs["schedule"], time_zone, after), None)
        return None if tick is None else tick.astimezone(UTC)

    def tick(self) -> list[Fired]:
        """Advances the clock to the next tick, fires all jobs due then, and waits for them."""
        with self._ticking:
            due = self.due()
            if not due:
                return []
            at = due[0][0]
            self._context.clock.advance_to(at)
            jobs = [job for tick, job in due if tick == at]
            for job in jobs:
                self._handled[job.id] = at
        with ThreadPoolExecutor(4) as pool:
            fired = [pool.submit(self.fire, job, at) for job in jobs]
            return [attempt.result() for attempt in fired]

    def fire(self, job: Resource, due: datetime | None = None) -> Fired:
        """Makes the call of a job now, and waits for what it started."""
        now = self._context.clock.now()
        attempt = Attempt(job=short(job.id), due=due or now, fired=now)
        try:
            start = self._target(job)
        except GoogleError as error:
            # A retry would get the same response.
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
        """Returns what the call starts; raises GoogleError as the called service would respond."""
        target = job.inputs["httpTarget"]
        uri, method = target["uri"], target.get("httpMethod", "POST")
        match = _RUN_URI.fullmatch(uri)
        if match is None:
            raise GoogleError(
                f"404: {uri} leads nowhere: the local cloud knows "
                "https://run.googleapis.com/v2/<id of a Run job>:run"
            )
        run_job = self._context.resources.get(run.JOB, match[1])
        if run_job is None:
            raise GoogleError(f"404: {uri} names no Run job that exists")
        if method != "POST":
            raise GoogleError(f"404: {method} {uri} is no call of Cloud Run: use POST")
        self._must_be_allowed(target, "run.jobs.run", match[1])
        if body := _body(target):
            raise GoogleError(f"400: the local cloud knows no request body, got {body}")
        return lambda: self._executions.run(run_job)

    def _must_be_allowed(self, target: Json, permission: str, resource: str) -> None:
        if "oidcToken" in target:
            raise GoogleError("401: Google's own APIs take an oauthToken, not an oidcToken")
        if "oauthToken" not in target:
            raise GoogleError("401: the call carries no token: give httpTarget.oauthToken")
        email = target["oauthToken"]["serviceAccountEmail"]
        try:
            account_must_exist(self._context, email)
            self._context.policy.require(iam.member(email), permission, resource)
        except (GoogleError, iam.Denied) as denied:
            raise GoogleError(f"403: {denied}") from denied


def _body(target: Json) -> Json:
    try:
        return json.loads(base64.b64decode(target.get("body", "")) or b"{}")
    except ValueError as error:
        raise GoogleError(f"400: the body is not JSON ({error})") from None

"""Executions of Run jobs: the declared image as a process, with what the job declares for it.

It cannot show how long an instance takes to start, nor overrides of an execution.
"""

import contextlib
import json
import random
import string
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Literal, cast

from pydantic import BaseModel

from local.records import Records
from local.resources import Resource
from local.services.artifactregistry.images import without_tag
from local.services.context import Context, GoogleError, short
from local.services.processes import Stopping
from local.services.run.resources import Container, seconds
from local.services.secretmanager.secrets import Secrets
from pipeline.errors import UserError


class Execution(BaseModel):
    """One execution of a job. `exit_codes` are those of the attempts, in the order they ended."""

    name: str
    job: str
    started: datetime
    ended: datetime | None = None
    image: str = ""
    attempts: int = 0
    exit_codes: list[int] = []
    outcome: Literal["running", "succeeded", "failed", "cancelled"] = "running"
    reason: str = ""
    log: Path


class Executions:
    """Runs jobs, and keeps the outcome of each execution."""

    def __init__(self, context: Context, secrets: Secrets) -> None:
        self._context = context
        self._secrets = secrets
        self._records = Records(context.home / "executions.json", Execution)
        for execution in self._records.all():
            if execution.outcome == "running":
                over = _ended(execution, context.clock.now(), "the cloud stopped")
                self._records.put(execution.name, over)

    def all(self) -> list[Execution]:
        """Returns all executions, oldest first."""
        return self._records.all()

    def run(self, job: Resource) -> Execution:
        """Executes a job and waits until it has ended, whatever the outcome."""
        name = f"{short(job.id)}-{''.join(random.choices(string.ascii_lowercase, k=5))}"
        execution = Execution(
            name=name,
            job=short(job.id),
            started=self._context.clock.now(),
            log=self._context.log("executions", name),
        )
        with execution.log.open("ab", buffering=0) as log:
            self._records.put(name, execution)
            over = self._execute(job, execution, log)
            log.write(f"-- {over.outcome} {over.reason}\n".encode())
        self._records.put(name, over)
        return over

    def _execute(self, job: Resource, execution: Execution, log: IO[bytes]) -> Execution:
        context = self._context
        template = job.inputs["template"]
        task = template["template"]
        container = Container.of(task, context)
        count: int = template.get("taskCount") or 1
        try:
            digest = context.runtime.resolve(container.image)
            if digest is None:
                raise GoogleError(f"Image '{container.image}' not found")
            secrets = container.secret_values(context, self._secrets)
        except UserError as error:
            return _ended(execution, context.clock.now(), str(error), "failed")
        image = f"{without_tag(container.image)}@{digest}"
        self._records.put(execution.name, execution.model_copy(update={"image": image}))
        run = _Run(
            context,
            self._records,
            execution.name,
            container,
            image,
            # Source: https://cloud.google.com/run/docs/container-contract#jobs-env-vars
            env=container.env
            | secrets
            | {
                "CLOUD_RUN_JOB": execution.job,
                "CLOUD_RUN_EXECUTION": execution.name,
                "CLOUD_RUN_TASK_COUNT": str(count),
            },
            timeout=seconds(task.get("timeout"), 600),
            retries=task["maxRetries"] if task.get("maxRetries") is not None else 3,
            log=log,
        )
        with ThreadPoolExecutor(template.get("parallelism") or count) as pool:
            failures = list(filter(None, pool.map(run.task, range(count))))
        execution = self._records.get(execution.name) or execution
        if not failures:
            return _ended(execution, context.clock.now(), "", "succeeded")
        outcome = "cancelled" if context.processes.stopping else "failed"
        reason = ": ".join(filter(None, [failures[0], _last_error(execution.log)]))
        return _ended(execution, context.clock.now(), reason, outcome)


@dataclass(frozen=True)
class _Run:
    """What all tasks of a running execution share. Defaults are Cloud Run's.

    Source: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs
    """

    context: Context
    records: Records[Execution]
    name: str
    container: Container
    image: str
    env: dict[str, str]
    timeout: float
    retries: int
    log: IO[bytes]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def task(self, index: int) -> str:
        """Runs one task with its retries; returns why it failed, or nothing."""
        failure = ""
        for attempt in range(self.retries + 1):
            try:
                failure = self._attempt(index, attempt)
            except (Stopping, UserError) as error:
                return str(error)
            if not failure:
                return ""
            self.log.write(f"-- task {index}, attempt {attempt}: {failure}\n".encode())
        return failure

    def _attempt(self, index: int, attempt: int) -> str:
        process = self.context.processes.start(lambda: self._start(index, attempt))
        in_time = self.context.processes.wait(process, self.timeout)
        self._note(process.returncode)
        if not in_time:
            return f"the task ran longer than its timeout of {self.timeout:g} s"
        code = process.returncode
        return f"the container exited with {code}" if code else ""

    def _start(self, index: int, attempt: int) -> subprocess.Popen[bytes]:
        number = {"CLOUD_RUN_TASK_INDEX": str(index), "CLOUD_RUN_TASK_ATTEMPT": str(attempt)}
        return self.container.start(
            self.context, self.name, self.image, self.env | number, self.log
        )

    def _note(self, code: int) -> None:
        with self.lock:
            record = self.records.get(self.name)
            if record is not None:
                codes = [*record.exit_codes, code]
                update = {"attempts": len(codes), "exit_codes": codes}
                self.records.put(self.name, record.model_copy(update=update))


def _last_error(log: Path) -> str:
    """Returns the last message of a program that logs for Cloud Logging, if it is an error."""
    for line in reversed(log.read_text(errors="replace").splitlines()):
        with contextlib.suppress(ValueError):
            entry: object = json.loads(line)
            if isinstance(entry, dict):
                fields = cast("dict[str, object]", entry)
                return str(fields.get("message", "")) if fields.get("severity") == "ERROR" else ""
    return ""


def _ended(
    execution: Execution,
    now: datetime,
    reason: str,
    outcome: Literal["succeeded", "failed", "cancelled"] = "cancelled",
) -> Execution:
    return execution.model_copy(update={"ended": now, "reason": reason, "outcome": outcome})
